"""`up`: one step after the other, each of which does nothing where its work is done already."""

import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
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
"""For everything to get ready on a slow machine without /dev/kvm; typical are 5 to 20."""

SETTLE_SECONDS = 3.0
"""For how long everything must stay ready when the controller was started just now: what it wrote before it was stopped, perhaps by
a power cut, says nothing about today.
"""

IMAGE = "guest.qcow2"

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Demo:
    """What every step needs. `without_libvirt`: why there is no libvirt host, None if there is one."""

    layout: Layout
    runner: Runner
    display: Display
    environ: Mapping[str, str]
    without_libvirt: str | None

    @property
    def libvirt(self) -> bool:
        """Whether there is a libvirt host."""
        return self.without_libvirt is None


def up(demo: Demo) -> None:
    """Have the demo running, show it, and say how to go on. Raises StandaloneError with what was in the way."""
    if demo.without_libvirt:
        demo.display.say(f"SIMULATOR ONLY: no libvirt host, no VM that really boots: {demo.without_libvirt}")
    layout = demo.layout
    for directory in (layout.directory, layout.run, layout.log, layout.served, layout.temporary):
        make_directory(directory, 0o700)
    with ExitStack() as holding:
        cluster, known = _cluster(demo, holding)
        known = _image(demo, known)
        variables = {**_variables(demo, known), **_libvirt(demo)}
        running, settle = _services(demo, known, cluster)
    wanted = _examples(demo, cluster, variables)
    with demo.display.step("waiting for the cloud") as progress:
        _wait(cluster, wanted, running, settle, progress)
    report.write_environment(layout, cluster)
    report.show(demo.display, demo.runner, layout, cluster, demo.libvirt)


def _cluster(demo: Demo, holding: ExitStack) -> tuple[Cluster, Record]:
    """The control plane, and the record, whose ports are held until `holding` ends."""
    said = clusters.foreign_kubeconfig(demo.environ, demo.layout)
    with demo.display.step("control plane" if said is None else "cluster of KUBECONFIG") as progress:
        if said is None:
            known = decide(demo.layout, record.OWN_CLUSTER, demo.libvirt, holding)
            cluster = clusters.start_own(demo.layout, demo.runner, progress)
        else:
            kubeconfig = clusters.read_kubeconfig(demo.runner, said, progress)
            known = decide(demo.layout, clusters.server(kubeconfig), demo.libvirt, holding)
            cluster = clusters.join(demo.layout, demo.runner, kubeconfig, progress)
        known.save(demo.layout.record)
        progress("installing the CRDs")
        clusters.install(cluster.kubectl)
    return cluster, known


def decide(layout: Layout, cluster: str, libvirt: bool, holding: ExitStack) -> Record:
    """The record to go on with; nobody else chooses its ports until `holding` ends. Raises StandaloneError."""
    earlier = record.load(layout.record)
    ours = services.ports_in_use(layout, earlier) if earlier else set()
    free = ports.choose(None, None)
    picks = iter((free.api, free.etcd, free.peer))
    known = record.next_record(earlier, cluster, libvirt, lambda port: port not in ours and not ports.is_free(port), picks.__next__)
    holding.enter_context(ports.held((known.image_port, known.simulator_port, known.probe_port)))
    return known


def _image(demo: Demo, known: Record) -> Record:
    """Have the image where the image server finds it. It stays the same for the life of the demo, as a template's must."""
    served = demo.layout.served / IMAGE
    if known.image_sha256 and served.exists():
        return known
    with demo.display.step("guest image") as progress:
        fresh = served.with_suffix(".new")
        if demo.libvirt:
            progress("building it from Debian packages, unless the cache has it")
            shutil.copyfile(laboratory.guest_image().path, fresh)
        else:
            laboratory.blank_image(demo.runner, fresh)
        with fresh.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(fresh, served)
        known = replace(known, image_sha256=digest)
        known.save(demo.layout.record)
    return known


def _variables(demo: Demo, known: Record) -> dict[str, str]:
    return {
        "SSH_KEY": _ssh_key(demo),
        "SIMULATOR_URL": f"simulator://{LOOPBACK}:{known.simulator_port}",
        "IMAGE_URL": f"http://{LOOPBACK}:{known.image_port}/{IMAGE}",
        "IMAGE_CHECKSUM": f"sha256:{known.image_sha256}",
    }


def _ssh_key(demo: Demo) -> str:
    key = demo.layout.key
    public = key.with_suffix(".pub")
    if not public.exists():
        key.unlink(missing_ok=True)
        demo.runner.need("make an SSH key", ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vireo-demo", "-f", str(key)])
    return public.read_text().strip()


def _libvirt(demo: Demo) -> dict[str, str]:
    if not demo.libvirt:
        return {}
    with demo.display.step("libvirt host") as progress:
        progress("starting libvirtd and Open vSwitch in namespaces of their own")
        uri, pool = laboratory.up(demo.layout)
    return {"LIBVIRT_URL": uri, "LIBVIRT_POOL": str(pool)}


def _services(demo: Demo, known: Record, cluster: Cluster) -> tuple[list[Service], float]:
    """The running services, and for how many seconds the cloud must stay ready to be believed."""
    controller = services.controller(demo.layout, known, cluster.controller_kubeconfig)
    settle = SETTLE_SECONDS if controller.process.pid() is None else 0.0
    wanted = [services.simulator(demo.layout, known), services.image_server(demo.layout, known), controller]
    for service in wanted:
        with demo.display.step(service.process.name) as progress:
            service.start(progress)
    return wanted, settle


def _examples(demo: Demo, cluster: Cluster, variables: Mapping[str, str]) -> list[manifests.Key]:
    """Apply the examples; the names of Vireo's objects among them."""
    with demo.display.step("examples/first-cloud") as progress:
        texts = manifests.render(EXAMPLES, variables, demo.libvirt)
        manifests.write(demo.layout.manifests, texts)
        progress("applying them")
        options = ("--server-side", "--force-conflicts", "--field-manager=vireo-demo")
        cluster.kubectl("apply the examples", "apply", *options, "-f", str(demo.layout.manifests))
    return [manifests.key(each) for each in manifests.objects(texts.values()) if each["apiVersion"].startswith("vireo.dev/")]


def _wait(cluster: Cluster, wanted: list[manifests.Key], running: list[Service], settle: float, progress: Progress) -> None:
    """Return when everything wanted has been ready for `settle` seconds. Raises StandaloneError when that can't be expected."""
    deadline = time.monotonic() + READY_SECONDS
    ready_since: float | None = None
    while True:
        summary = readiness.summarize(wanted, cluster.kubectl.objects("look at the cloud", "vireo", "--all-namespaces"))
        progress(str(summary))
        now = time.monotonic()
        ready_since = None if summary.waiting else ready_since or now
        if ready_since is not None and now - ready_since >= settle:
            return
        for service in running:
            service.check()
        if summary.hopeless or now > deadline:
            raise StandaloneError(f"the cloud does not get ready: {summary}")
        time.sleep(_POLL_SECONDS)
