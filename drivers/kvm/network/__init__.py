"""Segments of guests on a host, and what keeps guests to their addresses there."""
