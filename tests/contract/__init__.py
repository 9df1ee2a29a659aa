"""The driver contract, tested on each driver and its counterpart."""
