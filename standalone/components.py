"""The command lines of etcd, kube-apiserver and kube-controller-manager."""

from dataclasses import dataclass
from pathlib import Path

from standalone.pki import SERVICE_CIDR, Pki
from standalone.ports import LOOPBACK, Ports

CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
)
"""Namespaces that go away, owner references, and what a ServiceAccount needs; there are no nodes and no pods."""


@dataclass(frozen=True)
class Layout:
    """Where everything of one control plane lies below its directory."""

    directory: Path

    @property
    def pki(self) -> Pki:
        """Keys and certificates."""
        return Pki(self.directory / "pki")

    @property
    def tokens(self) -> Path:
        """The static token file."""
        return self.directory / "tokens.csv"

    @property
    def ports(self) -> Path:
        """The ports in use or last used."""
        return self.directory / "ports.json"

    @property
    def run(self) -> Path:
        """Pid files and the lock that serialises start and stop."""
        return self.directory / "run"

    @property
    def log(self) -> Path:
        """One log per component, of its latest start."""
        return self.directory / "log"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one of access.USERS."""
        return self.directory / f"{user}.kubeconfig"


def own(name: str, layout: Layout) -> str:
    """The option of a component that names what no other process works with."""
    options = {
        "etcd": f"--data-dir={layout.directory / 'etcd'}",
        "kube-apiserver": f"--cert-dir={layout.pki.directory}",
        "kube-controller-manager": f"--kubeconfig={layout.kubeconfig('controller-manager')}",
    }
    return options[name]


def etcd(binary: Path, layout: Layout, ports: Ports, durable: bool) -> list[str]:
    """Etcd for one client on loopback; every connection needs a certificate, since its data includes Secrets."""
    pki = layout.pki
    client, peer = (f"https://{LOOPBACK}:{port}" for port in (ports.etcd, ports.peer))
    return [
        str(binary),
        "etcd",
        own("etcd", layout),
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        *_pair("", pki),
        "--client-cert-auth",
        f"--trusted-ca-file={pki.authority}",
        *_pair("peer-", pki),
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={pki.authority}",
        "--auto-compaction-retention=1h",
        "--log-level=warn",
        *([] if durable else ["--unsafe-no-fsync"]),
    ]


def apiserver(binary: Path, layout: Layout, ports: Ports) -> list[str]:
    """kube-apiserver on loopback: RBAC, static tokens, no anonymous requests, default admission plugins."""
    pki = layout.pki
    return [
        str(binary),
        "kube-apiserver",
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}",
        f"--etcd-cafile={pki.authority}",
        f"--etcd-certfile={pki.certificate('etcd')}",
        f"--etcd-keyfile={pki.key('etcd')}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={ports.api}",
        own("kube-apiserver", layout),
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        f"--token-auth-file={layout.tokens}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.key('service-account')}",
        f"--service-account-signing-key-file={pki.key('service-account')}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--endpoint-reconciler-type=none",
        "--profiling=false",
    ]


def controller_manager(binary: Path, layout: Layout) -> list[str]:
    """kube-controller-manager with CONTROLLERS alone, each acting under its own service account; it serves no port."""
    return [
        str(binary),
        "kube-controller-manager",
        own("kube-controller-manager", layout),
        f"--controllers={','.join(CONTROLLERS)}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={layout.pki.key('service-account')}",
        f"--root-ca-file={layout.pki.authority}",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def _pair(prefix: str, pki: Pki) -> list[str]:
    return [f"--{prefix}cert-file={pki.certificate('etcd')}", f"--{prefix}key-file={pki.key('etcd')}"]
