from __future__ import annotations

import itertools
from typing import get_args

import pytest

from greenroom.actors.multitask import (
    DEFAULT_STRATEGY,
    STRATEGIES,
    Admission,
    Strategy,
    Traffic,
    admit,
)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_thread_with_nothing_to_do_takes_every_run_and_stops_none(strategy: Strategy) -> None:
    assert admit(strategy, "none") == Admission(accepted=True, stop=None)


@pytest.mark.parametrize("traffic", ["waiting", "under way"])
@pytest.mark.parametrize(
    ("strategy", "admission"),
    [
        ("reject", Admission(accepted=False, stop=None)),
        ("enqueue", Admission(accepted=True, stop=None)),
        ("merge", Admission(accepted=True, stop=None)),
        ("debounce", Admission(accepted=True, stop=None)),
        ("steer", Admission(accepted=True, stop=None)),
        ("interrupt", Admission(accepted=True, stop="interrupt")),
        ("rollback", Admission(accepted=True, stop="rollback")),
    ],
)
def test_a_busy_thread_does_as_the_strategy_says(
    strategy: Strategy, traffic: Traffic, admission: Admission
) -> None:
    assert admit(strategy, traffic) == admission


def test_something_is_decided_for_every_strategy_and_whatever_it_finds() -> None:
    for strategy, traffic in itertools.product(STRATEGIES, get_args(Traffic)):
        assert isinstance(admit(strategy, traffic), Admission)  # type: ignore[arg-type]


def test_who_names_no_strategy_waits_in_line() -> None:
    assert DEFAULT_STRATEGY == "enqueue"
