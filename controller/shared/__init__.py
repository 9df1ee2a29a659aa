"""What several kinds need: how objects find each other, wait for each other, are deleted and worked on."""
