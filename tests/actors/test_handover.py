"""The state machine by which one run of a thread makes way for the next."""

from __future__ import annotations

import itertools
from functools import reduce
from typing import get_args

import pytest

from greenroom.actors.handover import Phase, Signal, after, may_write

PHASES: tuple[Phase, ...] = get_args(Phase)
SIGNALS: tuple[Signal, ...] = ("interrupt", "rollback", "timeout", "joined", "given up")


@pytest.mark.parametrize(
    ("signals", "phase"),
    [
        ((), "running"),
        (("joined",), "stopped"),
        (("given up",), "fenced"),
        (("interrupt",), "stopping"),
        (("timeout",), "stopping"),
        (("rollback",), "rolling back"),
        (("interrupt", "rollback"), "rolling back"),
        (("rollback", "interrupt"), "rolling back"),
        (("rollback", "timeout"), "rolling back"),
        (("interrupt", "joined"), "stopped"),
        (("rollback", "joined"), "stopped"),
        (("interrupt", "given up"), "fenced"),
        (("rollback", "given up"), "fenced"),
    ],
)
def test_a_run_comes_from_one_phase_to_the_next(signals: tuple[Signal, ...], phase: Phase) -> None:
    assert reduce(after, signals, PHASES[0]) == phase


@pytest.mark.parametrize("phase", ["stopped", "fenced"])
@pytest.mark.parametrize("signal", SIGNALS)
def test_a_run_that_is_over_stays_over_and_one_given_up_on_stays_given_up_on(
    phase: Phase, signal: Signal
) -> None:
    assert after(phase, signal) == phase


def test_a_run_that_was_told_to_stop_never_runs_on() -> None:
    for phase, signal in itertools.product(PHASES[1:], SIGNALS):
        assert after(phase, signal) != "running"


def test_what_a_run_does_counts_until_it_has_stopped() -> None:
    assert [phase for phase in PHASES if may_write(phase)] == [
        "running",
        "stopping",
        "rolling back",
    ]
