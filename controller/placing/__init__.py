"""Where things go: the books of places, rooms and volumes in use, kept in step with the objects of the cloud."""
