"""Serial consoles: open ones, and what is kept of them."""
