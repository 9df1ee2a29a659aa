"""The reconcile engine: store, queue, manager, results, conditions, lanes, jobs, lease and resync.

Domain-free: nothing here knows Vireo's kinds, a hypervisor, kopf or the Kubernetes client.  What it needs of the outside comes in
through the protocols of `objects` and `ports`.
"""
