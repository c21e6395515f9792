from __future__ import annotations

import pytest

from greenroom.actors.multitask import DEFAULT_STRATEGY, STRATEGIES, Admission, admit


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_thread_that_is_not_busy_takes_every_run_and_stops_none(strategy: str) -> None:
    assert admit(strategy, busy=False) == Admission(accepted=True, stop=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("strategy", "admission"),
    [
        ("reject", Admission(accepted=False, stop=None)),
        ("enqueue", Admission(accepted=True, stop=None)),
        ("interrupt", Admission(accepted=True, stop="interrupt")),
        ("rollback", Admission(accepted=True, stop="rollback")),
    ],
)
def test_a_busy_thread_does_as_the_strategy_says(strategy: str, admission: Admission) -> None:
    assert admit(strategy, busy=True) == admission  # type: ignore[arg-type]


def test_who_names_no_strategy_waits_in_line() -> None:
    assert DEFAULT_STRATEGY == "enqueue"
