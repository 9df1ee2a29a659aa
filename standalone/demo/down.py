"""`down`: nothing stays but the caches."""

import shutil

from standalone.cache import Progress
from standalone.demo import cluster as clusters
from standalone.demo import laboratory, manifests, services
from standalone.demo.commands import Runner
from standalone.demo.display import Display
from standalone.demo.layout import Layout
from standalone.errors import StandaloneError
from standalone.plane import ControlPlane


def down(layout: Layout, runner: Runner, display: Display) -> None:
    """End everything that an `up` made, however far it came. Raises StandaloneError with what was in the way."""
    if not layout.directory.exists():
        display.say("there is no demo")
        return
    with display.step("controller, image server, simulator"):
        services.stop(layout)
    with display.step("libvirt host"):
        laboratory.down(layout)
    if layout.cluster_kubeconfig.exists():
        with display.step("objects in the cluster") as progress:
            _leave(layout, runner, progress)
    with display.step("control plane"):
        ControlPlane(layout.plane).delete()
    shutil.rmtree(layout.directory)


def _leave(layout: Layout, runner: Runner, progress: Progress) -> None:
    applied = manifests.objects(path.read_text() for path in layout.manifests.glob("*.yaml"))
    try:
        cluster = clusters.joined(layout, runner, progress)
        clusters.leave(cluster.kubectl, {manifests.key(each) for each in applied})
    except StandaloneError as error:
        raise StandaloneError(f"{error}; if that cluster is gone for good, remove {layout.directory}") from error
