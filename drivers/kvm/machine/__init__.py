"""VMs as they are made, changed and removed, and what their guests say."""
