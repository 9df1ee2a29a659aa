"""Where everything of the demo lies, and what it is called. Pure."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
"""The checkout: the demo needs its manifests, examples and lab."""

CRDS = ROOT / "crds" / "manifests"
EXAMPLES = ROOT / "examples" / "first-cloud"


@dataclass(frozen=True)
class Layout:
    """The files of one demo, all below `directory`, which is an absolute path."""

    directory: Path

    @property
    def prefix(self) -> str:
        """Beginning of the names of the demo's network namespaces: another directory is another demo, side by side."""
        return f"demo{hashlib.sha256(str(self.directory).encode()).hexdigest()[:6]}"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or stops the demo; beside the directory, which comes and goes."""
        return self.directory.with_name(f"{self.directory.name}.lock")

    @property
    def record(self) -> Path:
        """What the next run must know of this one."""
        return self.directory / "demo.json"

    @property
    def plane(self) -> Path:
        """The standalone control plane."""
        return self.directory / "plane"

    @property
    def cluster_kubeconfig(self) -> Path:
        """Access to a cluster that is not the demo's own, as it was when the demo started."""
        return self.directory / "cluster.kubeconfig"

    @property
    def kubectl_cache(self) -> Path:
        """What kubectl remembers of the API server."""
        return self.directory / "kubectl-cache"

    @property
    def temporary(self) -> Path:
        """Temporary files of the demo's programs, so that they go with it even if their owners were killed."""
        return self.directory / "tmp"

    @property
    def lab(self) -> Path:
        """The libvirt host."""
        return self.directory / "lab"

    @property
    def simulator(self) -> Path:
        """The simulator's datacentre."""
        return self.directory / "simulator.db"

    @property
    def served(self) -> Path:
        """What the image server offers."""
        return self.directory / "www"

    @property
    def images(self) -> Path:
        """The controller's images."""
        return self.directory / "images"

    @property
    def manifests(self) -> Path:
        """The examples as they were applied, with their variables filled in."""
        return self.directory / "manifests"

    @property
    def key(self) -> Path:
        """The private SSH key for the VMs; the public one is beside it."""
        return self.directory / "id_ed25519"

    @property
    def environment(self) -> Path:
        """A shell file that sets up kubectl and PATH."""
        return self.directory / "env"

    @property
    def run(self) -> Path:
        """Pid files."""
        return self.directory / "run"

    @property
    def log(self) -> Path:
        """Logs of the demo's processes."""
        return self.directory / "log"

    @property
    def own_log(self) -> Path:
        """Log of the demo's commands; beside the directory, so that it outlives a failing `down`."""
        return self.directory.with_name(f"{self.directory.name}.log")
