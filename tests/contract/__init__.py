"""The driver contract, tested on each driver and its counterpart."""

import pytest

pytest.register_assert_rewrite("tests.contract.suite")
