"""What a host offers, read from the documents that libvirt has of it."""
