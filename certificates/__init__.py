"""Keys, certificates, and the private files that they lie in; for whoever sets up hosts or a control plane."""

from certificates.issuing import Use, authority, leaf
from certificates.pair import CertificateError, Pair, lasts, new_key, read

__all__ = ["CertificateError", "Pair", "Use", "authority", "lasts", "leaf", "new_key", "read"]
