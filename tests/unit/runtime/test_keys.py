"""What an object is stored and looked up under."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.keys import Key
from controller.shared.lookups import qualified

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?", fullmatch=True)


@given(NAMES, NAMES)
def test_a_qualified_name_names_one_object(namespace: str, name: str) -> None:
    assert Key.named("Network", qualified(namespace, name)) == Key("Network", namespace, name)


@pytest.mark.parametrize(
    ("text", "namespace", "name"),
    [("shop/front", "shop", "front"), ("shop/a/b", "shop", "a/b"), ("shop/", "shop", ""), ("", "", "")],
)
def test_what_has_another_form_names_no_object_that_can_be_there(text: str, namespace: str, name: str) -> None:
    assert Key.named("Network", text) == Key("Network", namespace, name)


@pytest.mark.parametrize(("key", "text"), [(Key("Host", "", "h1"), "Host/h1"), (Key("Network", "shop", "a"), "Network/shop/a")])
def test_in_logs(key: Key, text: str) -> None:
    assert str(key) == text
