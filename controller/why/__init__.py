"""`vireo why`: in plain words, what an object waits for."""

from controller.why.ask import KINDS_BY_NAME, why

__all__ = ["KINDS_BY_NAME", "why"]
