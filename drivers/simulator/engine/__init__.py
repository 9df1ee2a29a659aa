"""A datacentre in memory: pure state, rules and timers; no sockets, no threads of its own, time is injected."""
