"""How a run under way comes to its end, so that the next one can start: a state machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from .multitask import Stop

__all__ = ["Phase", "Reason", "Signal", "after", "may_write"]

# `running`; told to stop: `stopping`, to be kept, or `rolling back`, to be undone; `stopped`, its
# tasks have been joined; `fenced`, it was given up on. Its end is committed, and the next run
# started, in the last two only.
Phase = Literal["running", "stopping", "rolling back", "stopped", "fenced"]

Reason = Stop | Literal["timeout"]  # it is told to stop
Signal = Reason | Literal["joined", "given up"]

_TABLE: Final[Mapping[tuple[Phase, Signal], Phase]] = {
    ("running", "interrupt"): "stopping",
    ("running", "timeout"): "stopping",
    ("running", "rollback"): "rolling back",
    ("running", "joined"): "stopped",
    ("running", "given up"): "fenced",  # its actor has crashed
    ("stopping", "rollback"): "rolling back",
    ("stopping", "joined"): "stopped",
    ("stopping", "given up"): "fenced",
    ("rolling back", "joined"): "stopped",
    ("rolling back", "given up"): "fenced",
}


def after(phase: Phase, signal: Signal) -> Phase:
    """The phase that follows. A signal that changes nothing leaves a run where it is: one that is
    over, or given up on, stays so."""
    return _TABLE.get((phase, signal), phase)


def may_write(phase: Phase) -> bool:
    """Whether what a run does in this phase counts: what it leaves, and what it tells readers."""
    return phase in ("running", "stopping", "rolling back")
