"""Memory of a domain: room for more, what a device gives, and what the guest has of it."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Conflict, InvalidSpec
from drivers.kvm.domain import memory
from drivers.kvm.domain.memory import BLOCK, GROWTH, LEAST_WITH_ROOM, MOST_WITH_ROOM, STEP, Memory

MIB, GIB = 1 << 20, 1 << 30
SIZES = st.integers(MIB, 1 << 41) | st.integers(LEAST_WITH_ROOM - BLOCK, LEAST_WITH_ROOM + BLOCK)
ROOMY = st.integers(LEAST_WITH_ROOM, MOST_WITH_ROOM - BLOCK)

PLUGGED = """
<domain><maxMemory slots='1' unit='KiB'>{most}</maxMemory><memory unit='KiB'>{total}</memory>
<cpu><numa><cell id='0' cpus='0' memory='{base}' unit='KiB'/></numa></cpu>
<devices>{devices}</devices></domain>"""
DEVICE = """<memory model='virtio-mem'><target><size unit='KiB'>{size}</size><node>0</node><block unit='KiB'>2048</block>
<requested unit='KiB'>{given}</requested>{taken}</target><alias name='virtiomem0'/></memory>"""
DIMM = "<memory model='dimm'><target><size unit='KiB'>131072</size><node>0</node></target></memory>"


def device(size: int, given: int, taken: int | None = None) -> str:
    """As libvirt writes it; sizes in bytes, `taken` None for a document of the next start."""
    current = "" if taken is None else f"<current unit='KiB'>{taken >> 10}</current>"
    return DEVICE.format(size=size >> 10, given=given >> 10, taken=current)


def plugged(base: int, most: int, devices: str = "", sizes: int = 0) -> ET.Element:
    text = PLUGGED.format(most=most >> 10, total=(base + sizes) >> 10, base=base >> 10, devices=devices)
    return ET.fromstring(text)


def written(size: int, *, room: bool = True, cpus: int = 8, text: str = "<cpu/>") -> ET.Element:
    root = ET.fromstring(f"<domain><vcpu>{cpus}</vcpu>{text}</domain>")
    memory.write(root, size, room=room)
    return root


def bytes_of(root: ET.Element, path: str) -> int:
    found = root.find(path)
    assert found is not None
    assert found.get("unit") == "KiB"
    return int(found.text or found.get("memory", "")) << 10


# Definitions ---------------------------------------------------------------------------------------------------------


def test_a_vm_starts_with_what_it_has_and_room_for_four_times_that() -> None:
    root = written(2 * GIB)
    assert [bytes_of(root, tag) for tag in ("memory", "currentMemory", "maxMemory")] == [2 * GIB, 2 * GIB, 8 * GIB]
    cell = root.find("cpu/numa/cell")
    assert cell is not None
    assert cell.attrib == {"id": "0", "cpus": "0-7", "memory": str(2 * GIB >> 10), "unit": "KiB"}
    assert root.find("maxMemory").get("slots") == "1"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("size", "most"),
    [
        (LEAST_WITH_ROOM - MIB, 0),
        (LEAST_WITH_ROOM - MIB + 1, GROWTH * GIB),
        (LEAST_WITH_ROOM, GROWTH * GIB),
        (128 * GIB, MOST_WITH_ROOM),
        (300 * GIB, MOST_WITH_ROOM),
        (MOST_WITH_ROOM - BLOCK, MOST_WITH_ROOM),
        (MOST_WITH_ROOM - MIB, 0),
        (MOST_WITH_ROOM, 0),
        (1 << 42, 0),
    ],
)
def test_which_vms_have_room_and_how_much(size: int, most: int) -> None:
    root = written(size)
    assert int(root.findtext("maxMemory") or 0) << 10 == most
    assert (root.find("cpu/numa") is not None) == bool(most)
    assert memory.ceiling(size) == (most or -(-size // STEP) * STEP)


def test_a_host_that_cannot_add_memory_gives_no_room() -> None:
    root = written(2 * GIB, room=False)
    assert root.find("maxMemory") is None
    assert root.find("cpu/numa") is None
    assert bytes_of(root, "memory") == 2 * GIB


def test_what_was_written_before_leaves_no_trace() -> None:
    root = written(2 * GIB)
    memory.write(root, 5 * GIB, room=True)
    assert [len(root.findall(tag)) for tag in ("memory", "currentMemory", "maxMemory", "cpu/numa")] == [1, 1, 1, 1]
    assert bytes_of(root, "maxMemory") == 20 * GIB
    memory.write(root, 256 * MIB, room=True)
    assert (root.find("maxMemory"), root.find("cpu/numa")) == (None, None)
    assert bytes_of(root, "memory") == 256 * MIB


def test_the_node_has_all_cpus_that_may_come_even_without_a_cpu_element() -> None:
    cell = written(GIB, cpus=16, text="").find("cpu/numa/cell")
    assert cell is not None
    assert cell.get("cpus") == "0-15"


@pytest.mark.parametrize("size", [-1, 0, 1, MIB - 1])
def test_sizes_that_no_vm_has(size: int) -> None:
    with pytest.raises(InvalidSpec, match="memory"):
        written(size)


@pytest.mark.parametrize("devices", [DIMM, device(GIB, 0)])
def test_devices_in_a_definition_are_somebody_else_s(devices: str) -> None:
    root = plugged(GIB, 4 * GIB, devices)
    before = ET.tostring(root)
    with pytest.raises(Conflict, match="memory devices"):
        memory.write(root, 2 * GIB, room=True)
    assert ET.tostring(root) == before


@given(SIZES)
def test_a_definition_reads_as_it_was_written(size: int) -> None:
    now = memory.read(written(size))
    assert now.as_asked(now.total, size) == size
    assert (now.given, now.taken) == (0, 0)
    assert now.base + now.room == memory.ceiling(size)
    assert now.room % BLOCK == 0


# What runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "taken", "total"),
    [(0, 0, GIB), (GIB, 0, GIB), (GIB, 512 * MIB, GIB + 512 * MIB), (GIB, GIB, 2 * GIB), (0, GIB, 2 * GIB)],
)
def test_a_guest_has_what_it_took(given: int, taken: int, total: int) -> None:
    now = memory.read(plugged(GIB, 4 * GIB, device(3 * GIB, given, taken), 3 * GIB))
    assert now == Memory(base=GIB, given=given, taken=taken, room=3 * GIB)
    assert now.total == total


def test_the_next_start_of_somebody_s_device_has_what_it_gives() -> None:
    assert memory.read(plugged(GIB, 4 * GIB, device(3 * GIB, GIB), 3 * GIB)).total == 2 * GIB


@pytest.mark.parametrize(
    ("devices", "sizes"), [(DIMM, 128 * MIB), (device(GIB, 0, 0) + DIMM, GIB + 128 * MIB), (device(GIB, 0, 0) * 2, 2 * GIB)]
)
def test_where_somebody_plugged_memory_there_is_no_room_for_ours(devices: str, sizes: int) -> None:
    now = memory.read(plugged(GIB, 8 * GIB, devices, sizes))
    assert (now.room, now.taken) == (0, 0)
    assert now.total == GIB + (128 * MIB if DIMM in devices else 0)


@pytest.mark.parametrize("cells", ["", "<cell id='0' cpus='0' memory='1'/><cell id='1' cpus='1' memory='1'/>"])
def test_another_number_of_nodes_than_one_has_no_room(cells: str) -> None:
    root = ET.fromstring(
        f"<domain><maxMemory>4194304</maxMemory><memory>1048576</memory><cpu><numa>{cells}</numa></cpu><devices/></domain>"
    )
    assert memory.read(root) == Memory(GIB)


def test_a_document_without_memory_has_none() -> None:
    assert memory.read(ET.fromstring("<domain/>")) == Memory(0)


# Growth --------------------------------------------------------------------------------------------------------------


@given(ROOMY, st.data())
def test_whatever_fits_below_the_ceiling_can_be_given_and_is_seen_as_asked(start: int, data: st.DataObject) -> None:
    """In whole blocks, by one device that has all of the room; somebody who asks again finds nothing to do."""
    definition = written(start)
    wanted = data.draw(st.integers(start, memory.ceiling(start)))
    now = memory.read(definition)
    share = now.share(wanted)
    assert 0 <= share <= now.room
    assert share % BLOCK == 0
    device = memory.device(now, share)
    [devices] = [ET.SubElement(definition, "devices")]
    devices.append(device)
    ET.SubElement(device.find("target"), "current").text = str(share >> 10)  # type: ignore[arg-type]
    total = definition.find("memory")
    assert total is not None
    total.text = str((now.base + now.room) >> 10)
    after = memory.read(definition)
    assert after == Memory(now.base, share, share, now.room)
    assert after.as_asked(after.total, wanted) == wanted
    assert wanted <= after.total < wanted + STEP + BLOCK
    assert after.share(wanted) == after.given


@pytest.mark.parametrize(
    ("seen", "asked", "result"),
    [(4, 3, 4), (GIB, GIB - 1, GIB - 1), (GIB, GIB, GIB), (GIB, 0, GIB), (GIB, GIB + 1, GIB), (GIB, 1, GIB)],
)
def test_only_rounding_is_undone(seen: int, asked: int, result: int) -> None:
    assert Memory(seen).as_asked(seen, asked) == result


@given(ROOMY, SIZES)
def test_a_size_is_never_taken_for_another(start: int, asked: int) -> None:
    """But for what rounding makes of it."""
    now = memory.read(written(start))
    if now.as_asked(now.total, asked) == asked:
        assert -(-asked // STEP) == -(-start // STEP)


@pytest.mark.parametrize("wanted", [GIB // 2, GIB - BLOCK, GIB])
def test_less_than_what_it_started_with_needs_no_device(wanted: int) -> None:
    assert Memory(GIB, room=GIB).share(wanted) <= 0


def test_a_device_gives_more_without_any_other_change() -> None:
    live = plugged(GIB, 4 * GIB, device(3 * GIB, GIB, GIB), 3 * GIB)
    changed = memory.giving(live, 2 * GIB)
    assert changed is not None
    assert bytes_of(changed, "target/requested") == 2 * GIB
    requested = changed.find("target/requested")
    assert requested is not None
    requested.text = str(GIB >> 10)
    there = live.find("devices/memory")
    assert there is not None
    assert ET.tostring(changed) == ET.tostring(there)
    assert memory.read(live).given == GIB, "the document is left as it was"


def test_there_may_be_no_device_yet() -> None:
    assert memory.giving(plugged(GIB, 4 * GIB), GIB) is None
    assert memory.giving(plugged(GIB, 4 * GIB, DIMM), GIB) is None
