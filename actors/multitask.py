"""Double-texting: what a run that arrives does to the runs before it. Pure; the table is
DESIGN's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import attrs

__all__ = [
    "DEFAULT_STRATEGY",
    "STANDING",
    "STRATEGIES",
    "STRATEGY_KEY",
    "Admission",
    "Standing",
    "Stop",
    "Strategy",
    "Traffic",
    "admit",
    "strategy_of",
]

# `debounce` needs a wait, which a run alone can name.
Standing = Literal["reject", "enqueue", "interrupt", "rollback", "merge", "steer"]
Strategy = Literal[Standing, "debounce"]
STRATEGIES: Final[tuple[str, ...]] = get_args(Strategy)
DEFAULT_STRATEGY: Final[Strategy] = "enqueue"

STRATEGY_KEY: Final = "multitask_strategy"  # in the metadata of a thread or an assistant
STANDING: Final[tuple[Standing, ...]] = get_args(Standing)  # what may be the default of these

Stop = Literal["interrupt", "rollback"]

# What a run finds on its thread: nothing (a paused thread has nothing to do either), runs that
# wait, or one under way, which may have been told to stop.
Traffic = Literal["none", "waiting", "under way"]


@attrs.frozen
class Admission:
    """What to do with a run that arrives.

    `accepted`: False refuses it and leaves everything as it is. `stop`: how the run under way and
    those queued are ended first, or None to let them be.
    """

    accepted: bool = True
    stop: Stop | None = None


_LET_IN: Final = Admission()
_REFUSE: Final = Admission(accepted=False)

_INTERRUPT: Final = Admission(stop="interrupt")
_ROLL_BACK: Final = Admission(stop="rollback")

# What becomes of runs that are let in and wait, `joining` says.
_TABLE: Final[Mapping[Strategy, Mapping[Traffic, Admission]]] = {
    "reject": {"none": _LET_IN, "waiting": _REFUSE, "under way": _REFUSE},
    "enqueue": {"none": _LET_IN, "waiting": _LET_IN, "under way": _LET_IN},
    "merge": {"none": _LET_IN, "waiting": _LET_IN, "under way": _LET_IN},
    "debounce": {"none": _LET_IN, "waiting": _LET_IN, "under way": _LET_IN},
    "steer": {"none": _LET_IN, "waiting": _LET_IN, "under way": _LET_IN},
    "interrupt": {"none": _LET_IN, "waiting": _INTERRUPT, "under way": _INTERRUPT},
    "rollback": {"none": _LET_IN, "waiting": _ROLL_BACK, "under way": _ROLL_BACK},
}


def strategy_of(own: Strategy | None, *metadata: Mapping[str, Any]) -> Strategy:
    """The strategy of a run: its `own`, or the default of the first `metadata` that has one. A
    value that cannot be one is passed over."""
    if own is not None:
        return own
    given = (about.get(STRATEGY_KEY) for about in metadata)
    return next((one for one in given if one in STANDING), DEFAULT_STRATEGY)


def admit(strategy: Strategy, traffic: Traffic) -> Admission:
    """Decide about a run."""
    return _TABLE[strategy][traffic]
