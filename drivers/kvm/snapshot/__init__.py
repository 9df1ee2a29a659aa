"""Moments of disks and VMs: taken while the guest runs or stands still, and brought back."""
