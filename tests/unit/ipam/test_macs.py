"""A MAC address that is pinned belongs to one NIC of a zone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.ipam import AddressAllocator, Owner, PinnedMACs, Reason, Refusal

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
WEB, DB = Owner("u1", "front", "shop/web"), Owner("u2", "back", "shop/db")


def test_the_second_is_refused_with_the_name_of_the_first_until_that_is_gone() -> None:
    macs = PinnedMACs()
    assert macs.hold("z1", MAC, WEB) is None
    assert macs.hold("z1", MAC, WEB) is None, "asked again"
    refused = macs.hold("z1", MAC, DB)
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.by) == (Reason.MAC_IN_USE, WEB)
    assert "shop/web (front)" in refused.message
    assert MAC in refused.message
    macs.release_all("u1")
    assert macs.hold("z1", MAC, DB) is None


def test_two_nics_of_one_vm_are_two() -> None:
    macs = PinnedMACs()
    assert macs.hold("z1", MAC, Owner("u1", "front")) is None
    assert macs.hold("z1", MAC, Owner("u1", "back")) is not None


def test_another_zone_is_another_segment() -> None:
    macs = PinnedMACs()
    assert macs.hold("z1", MAC, WEB) is None
    assert macs.hold("z2", MAC, DB) is None


def test_a_nic_that_pins_another_or_none_gives_the_first_back() -> None:
    macs = PinnedMACs()
    macs.hold("z1", MAC, WEB)
    macs.keep(WEB, OTHER)
    assert macs.hold("z1", MAC, DB) is None
    macs.keep(DB, MAC)
    assert macs.hold("z1", MAC, WEB) is not None, "what is kept is not given back"
    macs.keep(DB, None)
    assert macs.hold("z1", MAC, WEB) is None


def test_it_goes_with_the_nic_and_with_the_vm() -> None:
    for whole in (False, True):
        allocator = AddressAllocator()
        allocator.macs.hold("z1", MAC, WEB)
        if whole:
            allocator.release_all("u1")
        else:
            allocator.release(WEB)
        assert allocator.macs.hold("z1", MAC, DB) is None


owners = st.builds(Owner, st.sampled_from(["u1", "u2", "u3"]), st.sampled_from(["a", "b"]))
steps = st.lists(st.tuples(st.sampled_from(["hold", "keep", "gone"]), owners, st.sampled_from([MAC, OTHER])), max_size=30)


@given(steps)
def test_at_no_time_have_two_the_same_and_nothing_is_left_of_those_that_are_gone(taken: list[tuple[str, Owner, str]]) -> None:
    macs, model = PinnedMACs(), dict[str, Owner]()
    for step, owner, mac in taken:
        if step == "hold":
            assert (macs.hold("z", mac, owner) is None) == (model.setdefault(mac, owner) == owner)
        elif step == "keep":
            macs.keep(owner, mac)
            model = {each: holder for each, holder in model.items() if holder != owner or each == mac}
        else:
            macs.release_all(owner.uid)
            model = {each: holder for each, holder in model.items() if holder.uid != owner.uid}
    for uid in ("u1", "u2", "u3"):
        macs.release_all(uid)
    assert not macs._holders
    assert not macs._held
