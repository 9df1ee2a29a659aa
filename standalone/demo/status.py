"""`status`: what of the demo runs."""

from standalone.demo import laboratory, record, services
from standalone.demo.display import Display
from standalone.demo.layout import Layout
from standalone.plane import ControlPlane


def show(layout: Layout, display: Display) -> int:
    """One line for each part; 0 if all run, else 1. Raises StandaloneError if the demo's record is damaged."""
    known = record.load(layout.record)
    if known is None:
        display.say("there is no demo: start it with `make demo`")
        return 1
    processes = [services.process(layout, name) for name in services.NAMES]
    if known.cluster == record.OWN_CLUSTER:
        processes = [*ControlPlane(layout.plane).processes(), *processes]
    states = {each.name: "stopped" if (pid := each.pid()) is None else f"running, pid {pid}" for each in processes}
    if (host := laboratory.state(layout)) is not None:
        states["libvirt host"] = "running" if host == "on" else host
    for name, state in states.items():
        display.say(f"{name:24} {state}")
    return 0 if all(state.startswith("running") for state in states.values()) else 1
