"""`up`: one step after the other, each of which does nothing where its work is done already."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from standalone import ports
from standalone.cache import Progress, make_directory
from standalone.demo import cluster as clusters
from standalone.demo import laboratory, manifests, readiness, record, report, services
from standalone.demo.cluster import Cluster
from standalone.demo.commands import Runner
from standalone.demo.display import Display
from standalone.demo.layout import EXAMPLES, Layout
from standalone.demo.record import Record
from standalone.demo.services import Service
from standalone.errors import StandaloneError
from standalone.ports import LOOPBACK

READY_SECONDS = 900.0
"""For everything to get ready on a slow machine without /dev/kvm; typical are 20."""

_POLL_SECONDS = 1.0
IMAGE = "guest.qcow2"


@dataclass(frozen=True)
class Demo:
    """What every step needs. `without_libvirt`: why there is no libvirt host, None if there is one."""

    layout: Layout
    runner: Runner
    display: Display
    environ: Mapping[str, str]
    without_libvirt: str | None

    def step(self, title: str, work: Callable[[Progress], None]) -> None:
        """Do some work as a step on the display."""
        with self.display.step(title) as progress:
            work(progress)


def up(demo: Demo) -> None:
    """Have the demo running, show it, and say how to go on. Raises StandaloneError with what was in the way."""
    layout = demo.layout
    for directory in (layout.directory, layout.run, layout.log, layout.served):
        make_directory(directory, 0o700)
    if demo.without_libvirt:
        demo.display.say(f"SIMULATOR ONLY: no libvirt host and no VM that really boots, since {demo.without_libvirt}")
    with demo.display.step("cluster") as progress:
        cluster = _cluster(demo, progress)
        known = _record(layout, cluster)
        progress("installing the CRDs")
        clusters.install(cluster.kubectl)
    with demo.display.step("guest image") as progress:
        known = _image(demo, known, progress)
    variables = {"SSH_KEY": _ssh_key(demo), **_variables(known)}
    if not demo.without_libvirt:
        with demo.display.step("libvirt host") as progress:
            progress("starting libvirtd and Open vSwitch in namespaces of their own")
            uri, pool = laboratory.up(layout)
            variables |= {"LIBVIRT_URL": uri, "LIBVIRT_POOL": str(pool)}
    running = _services(demo, known, cluster)
    texts = manifests.render(EXAMPLES, variables, libvirt=not demo.without_libvirt)
    with demo.display.step("examples/first-cloud"):
        manifests.write(layout.manifests, texts)
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=vireo-demo", "-f", str(layout.manifests))
        cluster.kubectl("apply the examples", *apply)
    wanted = [manifests.key(each) for each in manifests.objects(texts.values()) if each["apiVersion"].startswith("vireo.dev/")]
    with demo.display.step("waiting for the cloud") as progress:
        _wait(cluster, wanted, running, progress)
    report.write_environment(layout, cluster)
    report.show(demo.display, demo.runner, layout, cluster, libvirt=not demo.without_libvirt)


def _cluster(demo: Demo, progress: Progress) -> Cluster:
    said = clusters.foreign_kubeconfig(demo.environ, demo.layout)
    if said is None:
        return clusters.start_own(demo.layout, demo.runner, progress)
    return clusters.join(demo.layout, demo.runner, said, progress)


def _record(layout: Layout, cluster: Cluster) -> Record:
    earlier = record.load(layout.record)
    ours = services.ports_in_use(layout, earlier) if earlier else set()

    def busy(port: int) -> bool:
        return port not in ours and not ports.is_free(port)

    taken = record.next_record(earlier, cluster.name, busy, _free_port)
    taken.save(layout.record)
    return taken


def _free_port() -> int:
    return ports.choose(None, None).api


def _image(demo: Demo, known: Record, progress: Progress) -> Record:
    """Have the image where the image server finds it. It stays the same for the life of the demo, as a template's must."""
    served = demo.layout.served / IMAGE
    if known.image_sha256 and served.exists():
        return known
    fresh = served.with_suffix(".new")
    if demo.without_libvirt:
        laboratory.blank_image(demo.runner, fresh)
    else:
        progress("building it from Debian packages, unless the cache has it")
        shutil.copyfile(laboratory.guest_image().path, fresh)
    with fresh.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    os.replace(fresh, served)
    known = replace(known, image_sha256=digest)
    known.save(demo.layout.record)
    return known


def _ssh_key(demo: Demo) -> str:
    key = demo.layout.key
    public = key.with_suffix(".pub")
    if not public.exists():
        key.unlink(missing_ok=True)
        demo.runner.need("make an SSH key", ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vireo-demo", "-f", str(key)])
    return public.read_text().strip()


def _variables(known: Record) -> dict[str, str]:
    return {
        "SIMULATOR_URL": f"simulator://{LOOPBACK}:{known.simulator_port}",
        "IMAGE_URL": f"http://{LOOPBACK}:{known.image_port}/{IMAGE}",
        "IMAGE_CHECKSUM": f"sha256:{known.image_sha256}",
    }


def _services(demo: Demo, known: Record, cluster: Cluster) -> list[Service]:
    layout = demo.layout
    wanted = [
        services.simulator(layout, known),
        services.image_server(layout, known),
        services.controller(layout, known, cluster.controller_kubeconfig),
    ]
    for service in wanted:
        demo.step(service.process.name, service.start)
    return wanted


def _wait(cluster: Cluster, wanted: list[manifests.Key], running: list[Service], progress: Progress) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        summary = readiness.summarize(wanted, cluster.kubectl.objects("look at the cloud", "vireo", "--all-namespaces"))
        progress(str(summary))
        if not summary.waiting:
            return
        for service in running:
            service.check()
        if summary.hopeless or time.monotonic() > deadline:
            raise StandaloneError(f"the cloud does not get ready: {summary}")
        time.sleep(_POLL_SECONDS)
