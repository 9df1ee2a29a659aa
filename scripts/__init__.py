"""Scripts for working on Vireo."""
