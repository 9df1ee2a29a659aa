"""Vireo."""
