"""The KVM driver's pure parts."""
