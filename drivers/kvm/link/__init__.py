"""Ways to a host: its URL and login, libvirt's connections and their event loop, and commands over SSH."""
