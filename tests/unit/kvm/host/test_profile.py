"""What a host offers, as its capabilities say."""

import pytest

from drivers.errors import Transient, Unsupported
from drivers.kvm.host import profile
from drivers.types import Capability

CAPABILITIES = """
<capabilities><host><uuid>C0C18BCA-cb18-0fef-2b53-1c3400816874</uuid></host>
<guest><os_type>xen</os_type><arch name='x86_64'><domain type='kvm'/></arch></guest>
<guest><os_type>hvm</os_type><arch name='aarch64'><emulator>/usr/bin/qemu-arm</emulator><domain type='kvm'/></arch></guest>
<guest><os_type>hvm</os_type><arch name='x86_64'>
  <emulator>/usr/bin/qemu-system-x86_64</emulator>
  <machine maxCpus='255'>pc-i440fx-7.2</machine><machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>
  {domains}
</arch></guest></capabilities>"""
BOTH = CAPABILITIES.format(domains="<domain type='qemu'/><domain type='kvm'/>")
EMULATED = CAPABILITIES.format(domains="<domain type='qemu'/>")

DOMAIN = """
<domainCapabilities><vcpu max='288'/>
<os supported='yes'><enum name='firmware'>{firmware}</enum></os>
<cpu><mode name='host-passthrough' supported='{passthrough}'/><mode name='maximum' supported='yes'/>
<mode name='host-model' supported='{model}'/></cpu></domainCapabilities>"""
RICH = DOMAIN.format(firmware="<value>efi</value>", passthrough="yes", model="yes")
POOR = DOMAIN.format(firmware="<value>bios</value>", passthrough="yes", model="no")


def of(
    capabilities: str = BOTH, domain: str = RICH, libvirt: int = 9_000_000, qemu: int = 7_002_022, **changed: bool
) -> profile.HostProfile:
    """Of a host that has all that was tried but what is `changed` to False."""
    tried = {"adds_memory": True, "tells_panics": True, "unsigned_uefi": True} | changed
    return profile.profile("kvm1", capabilities, domain, libvirt, qemu, filters=True, iscsi=True, **tried)


def test_the_kinds_of_pools_that_libvirt_has() -> None:
    kinds = "<pool type='dir' supported='yes'/><pool type='iscsi-direct' supported='no'/>"
    text = f"<storagepoolCapabilities>{kinds}</storagepoolCapabilities>"
    assert profile.pools(text) == {"dir"}
    assert profile.pools(text.replace("'no'", "'yes'")) == {"dir", "iscsi-direct"}


def test_a_host_that_can_accelerate_does() -> None:
    found = of()
    assert (found.domain_type, found.emulator, found.machine) == ("kvm", "/usr/bin/qemu-system-x86_64", "pc-q35-7.2")
    assert (found.host, found.uuid) == ("kvm1", "c0c18bca-cb18-0fef-2b53-1c3400816874")
    assert (found.cpu_mode, found.max_cpus, found.uefi) == ("host-model", 288, True)


def test_a_host_that_cannot_emulates() -> None:
    found = of(EMULATED)
    assert (found.domain_type, found.cpu_mode) == ("qemu", "maximum")


MODEL = """<mode name='host-model' supported='yes'><model fallback='forbid'>Skylake-Server-IBRS</model><vendor>Intel</vendor>
<feature policy='require' name='ss'/><feature policy='disable' name='hle'/></mode>"""
WRITTEN_OUT = RICH.replace("<mode name='host-model' supported='yes'/>", MODEL)


def test_the_cpu_of_a_host_is_written_out() -> None:
    """So that it is the same at the next start, whatever became of libvirt and microcode."""
    expected = profile.CPUModel("Skylake-Server-IBRS", "Intel", (("ss", "require"), ("hle", "disable")))
    assert of(domain=WRITTEN_OUT).cpu == expected


@pytest.mark.parametrize(
    ("capabilities", "domain"),
    [(EMULATED, WRITTEN_OUT), (BOTH, RICH), (BOTH, POOR), (BOTH, WRITTEN_OUT.replace("Skylake-Server-IBRS", ""))],
)
def test_a_cpu_that_can_not_be_written_out(capabilities: str, domain: str) -> None:
    assert of(capabilities, domain).cpu is None


def test_a_host_without_a_model_of_its_own_passes_its_cpu_through() -> None:
    assert of(domain=POOR).cpu_mode == "host-passthrough"


def test_the_emulator_of_a_kind_of_guest_wins() -> None:
    own = "<domain type='kvm'><emulator>/usr/libexec/qemu-kvm</emulator><machine canonical='pc-q35-rhel9'>q35</machine></domain>"
    found = of(CAPABILITIES.format(domains=own))
    assert (found.emulator, found.machine) == ("/usr/libexec/qemu-kvm", "pc-q35-rhel9")


@pytest.mark.parametrize(
    "capabilities",
    ["<capabilities/>", CAPABILITIES.replace("x86_64", "riscv64").format(domains=""), BOTH.replace(">q35<", ">q36<")],
)
def test_a_host_that_cannot_run_our_guests_says_what_is_missing(capabilities: str) -> None:
    with pytest.raises(Unsupported, match=r"x86_64|q35"):
        of(capabilities)


@pytest.mark.parametrize(
    ("libvirt", "qemu", "what"), [(7_999_999, 7_002_022, "libvirt 7.999.999"), (9_000_000, 6_000_009, "QEMU 6.0.9")]
)
def test_versions_that_are_too_old(libvirt: int, qemu: int, what: str) -> None:
    with pytest.raises(Unsupported, match=what):
        of(libvirt=libvirt, qemu=qemu)


def test_the_oldest_versions_that_will_do() -> None:
    assert of(libvirt=8_000_000, qemu=6_001_000).version == "QEMU 6.1.0, libvirt 8.0.0"


def test_capabilities_follow_the_host() -> None:
    assert Capability.UEFI in of().capabilities
    assert Capability.UEFI not in of(domain=POOR).capabilities
    assert of().capabilities - of(unsigned_uefi=False).capabilities == {Capability.UEFI}
    assert of().capabilities - of(adds_memory=False).capabilities == {Capability.MEMORY_ADD_LIVE}
    assert {Capability.POWER, Capability.STORAGE, Capability.EVENTS, Capability.CPU_ADD_LIVE} <= of().capabilities
    assert Capability.DEFINITION_EVENTS not in of().capabilities
    assert {Capability.VOLUME_HOTPLUG, Capability.VOLUME_SNAPSHOT_LIVE, Capability.SNAPSHOT_QUIESCE} <= of().capabilities


def test_only_accelerated_guests_get_cpus_while_they_run() -> None:
    assert of().capabilities - of(EMULATED).capabilities == {Capability.CPU_ADD_LIVE}
    assert of(EMULATED).capabilities < of().capabilities


@pytest.mark.parametrize("text", ["", "<", "not xml", "<a></b>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
def test_an_answer_that_is_not_xml_may_be_better_next_time(text: str) -> None:
    with pytest.raises(Transient):
        of(text)
