"""Servers and tools that several test layers share."""
