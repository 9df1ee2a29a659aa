"""Hypervisor drivers: one folder each, all behind the contract in `drivers.base`."""
