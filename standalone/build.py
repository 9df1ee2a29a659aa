"""The control plane binary: built from the pinned Go modules in `plane/`, once per machine."""

from pathlib import Path

from standalone import gobuild
from standalone.cache import Progress
from standalone.gobuild import Program

KUBERNETES_VERSION = "v1.36.3"

_VERSION_PACKAGE = "k8s.io/component-base/version"

PLANE = Program(
    name="plane",
    title="the control plane",
    version=f"Kubernetes {KUBERNETES_VERSION}",
    source=Path(__file__).parent / "plane",
    inputs=("main.go", "go.mod", "go.sum"),
    linker_flags=(
        f"-s -w -X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}"
        f" -X {_VERSION_PACKAGE}.gitMajor=1 -X {_VERSION_PACKAGE}.gitMinor=36"
    ),
    links=("kubectl",),
)


def ensure(progress: Progress = lambda _: None) -> Path:
    """The path of the `plane` binary, built first if need be; a link named `kubectl` lies beside it.

    Raises StandaloneError with the reason when it can't be built.
    """
    return gobuild.ensure(PLANE, progress)
