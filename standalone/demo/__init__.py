"""A cloud on this machine: control plane, simulated and libvirt hosts, controller, and VMs that run."""
