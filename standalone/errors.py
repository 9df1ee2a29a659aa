"""What can go wrong with the standalone control plane."""


class StandaloneError(Exception):
    """One sentence for the person at the terminal: what failed and what to do about it.

    Its text is complete; a caller prints it and exits non-zero, without a traceback.
    """
