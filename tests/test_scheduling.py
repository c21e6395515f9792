"""The tests run as the programs of users do."""

from __future__ import annotations

import sys

from trio._core import _run


def test_hypothesis_does_not_say_in_which_order_tasks_take_turns() -> None:
    assert _run._ALLOW_DETERMINISTIC_SCHEDULING is False
    assert not any(name.startswith("tests.properties") for name in sys.modules)
