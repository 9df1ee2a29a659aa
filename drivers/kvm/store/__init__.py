"""What lies in pools: files by our names, whole or not, and how they come there and go."""
