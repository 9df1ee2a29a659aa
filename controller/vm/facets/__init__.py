"""Aspects of a VM: each compares what is declared with what is observed and contributes changes to one plan.

Every facet is a module with `changes(want, have)`: what to write so that the next start has it; the plan asks the driver when each
change can take effect, and reports those that a running VM does not have yet.
"""
