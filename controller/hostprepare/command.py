"""The command line, and the order of things: authority, certificates, files; then what to do with them."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from certificates import Pair
from certificates.files import write_private
from controller.hostprepare import authority as certificates
from controller.hostprepare import files, login, manifests, script
from controller.hostprepare.authority import AuthorityError
from controller.hostprepare.wanted import Distribution, Wanted


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 well, 1 it can't be done, 2 wrong usage."""
    arguments = _parser().parse_args(argv)
    given = {name: value for name, value in vars(arguments).items() if name not in {"directory", "host_keys"}}
    try:
        keys = login.host_keys(arguments.host_keys) if arguments.host_keys else ()
        wanted = Wanted(**given, host_keys=keys)
    except (ValueError, OSError) as error:
        print(f"vireo: {error}", file=sys.stderr)
        return 2
    try:
        setup = prepare(wanted, arguments.directory, datetime.datetime.now(datetime.UTC))
    except (AuthorityError, OSError) as error:
        print(f"vireo: {error}", file=sys.stderr)
        return 1
    print(guide(wanted, arguments.directory, setup))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vireo host", description="Machines that become hosts.", allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    prepare = verbs.add_parser(
        "prepare",
        help="make certificates, a script and manifests for a KVM host",
        description="Write certificates, a script for the host and manifests; print what to do with them, but never a key.",
    )
    option = prepare.add_argument
    option("name", help="of the Host object")
    option("--address", action="append", required=True, metavar="ADDRESS", dest="addresses",
           help="IP address or DNS name of the host; the first is the one to connect to; may be repeated")  # fmt: skip
    option("--cluster", required=True, help="Cluster that the host comes to")
    option("--zone", required=True, help="Zone of that Cluster")
    option("--controller", action="append", default=[], metavar="ADDRESS", dest="controllers",
           help="address or network that may connect, others are kept out; may be repeated (default: any)")  # fmt: skip
    option("--host-keys", type=Path, metavar="FILE",
           help="the host's ssh_host_*_key.pub: lets the controller log in as root over SSH (default: as before)")  # fmt: skip
    option("--bridge", default="", help="Open vSwitch bridge to make for guests (default: none)")
    option("--uplink", default="", help="network interface to plug into the bridge; it must carry nothing else")
    option("--pool-path", default="/var/lib/vireo", help="directory for disks of VMs (default: %(default)s)")
    option("--namespace", default="vireo-system", help="of the Secret (default: %(default)s)")
    option("--secret", default="kvm-tls", help="name of the Secret (default: %(default)s)")
    option("--distribution", choices=[*Distribution], default=Distribution.DEBIAN, type=Distribution,
           help="whose commands to write (default: %(default)s)")  # fmt: skip
    option("--directory", type=Path, default=Path("vireo-hosts"), help="for authority and certificates (default: %(default)s)")
    return parser


def prepare(wanted: Wanted, directory: Path, now: datetime.datetime) -> str:
    """Write all files; returns the host's script. What others share is kept if it is there, the host's certificate is made anew.

    Raises AuthorityError, OSError.
    """
    own = directory / wanted.name
    for each in (directory, own):
        files.make_directory(each)
    authority = _authority(directory, now)
    client = _client(directory, authority, now)
    server = certificates.server(authority, wanted.name, wanted.addresses, now)
    access = login.prepare(directory, wanted.name, wanted.addresses, wanted.host_keys)
    setup = script.script(wanted, access.public if access and (own / login.KNOWN_HOSTS).exists() else "")
    write_private(directory / "secret.yaml", manifests.secret(wanted, client, authority, access))
    write_private(own / "ca.pem", authority.certificate)
    write_private(own / "key.pem", server.key)
    write_private(own / "cert.pem", server.certificate)
    write_private(own / "setup.sh", setup)
    write_private(own / "host.yaml", manifests.host(wanted))
    return setup


def guide(wanted: Wanted, directory: Path, setup: str) -> str:
    """What to do next, what the host will run, and its manifests; no private key, and no Secret."""
    own, target = directory / wanted.name, f"root@{wanted.addresses[0]}"
    copied = f"root@[{wanted.addresses[0]}]" if ":" in wanted.addresses[0] else target
    return f"""\
# 1. Make the machine a host (what runs there is below)
scp -pr {own} {copied}:
ssh {target} sh {wanted.name}/setup.sh
# 2. Tell Vireo
kubectl apply --server-side -f {directory / "secret.yaml"}
kubectl apply --server-side -f {own / "host.yaml"}
kubectl wait --for=condition=Ready host.vireo.dev/{wanted.name}
# 3. The key of the host is there now; the authority's key, {directory / "ca.key"}, is worth a safe place
rm {own / "key.pem"}

# ---- {own / "setup.sh"} ----
{setup}
# ---- {own / "host.yaml"} ----
{manifests.host(wanted).rstrip()}"""


def _authority(directory: Path, now: datetime.datetime) -> Pair:
    known = files.read_pair(directory, "ca")
    if known is not None:
        certificates.check_authority(known, now)
        return known
    made = certificates.new_authority(now)
    files.write_pair(directory, "ca", made)
    return made


def _client(directory: Path, authority: Pair, now: datetime.datetime) -> Pair:
    known = files.read_pair(directory, "controller")
    if known is not None and certificates.lasts(known, authority, now):
        return known
    made = certificates.client(authority, now)
    files.write_pair(directory, "controller", made)
    return made
