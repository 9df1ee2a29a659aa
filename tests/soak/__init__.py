"""Random operations and faults for hours: `python -m tests.soak --minutes 120 --seed 7`.

A control plane, a simulator server and two replicas of the controller, each a process of its own. Every minute users work and
things go wrong, then all faults end, and the cloud must come to rest exactly as declared.
"""
