"""Vireo's API: pydantic models, the only source of the CustomResourceDefinitions and of their reference pages."""
