"""Double-texting: what a run that arrives does to the runs before it. Pure; the table is
DESIGN's.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import attrs

__all__ = ["DEFAULT_STRATEGY", "STRATEGIES", "Admission", "Stop", "Strategy", "admit"]

Strategy = Literal["reject", "enqueue", "interrupt", "rollback"]
STRATEGIES: Final[tuple[str, ...]] = get_args(Strategy)
DEFAULT_STRATEGY: Final[Strategy] = "enqueue"

Stop = Literal["interrupt", "rollback"]


@attrs.frozen
class Admission:
    """What to do with a run that arrives.

    `accepted`: False refuses it and leaves everything as it is. `stop`: how the run under way and
    those queued are ended first, or None to let them be.
    """

    accepted: bool
    stop: Stop | None = None


def admit(strategy: Strategy, *, busy: bool) -> Admission:
    """Decide about a run. `busy`: a run is under way or queued; a paused thread is not busy."""
    if not busy:
        return Admission(accepted=True)
    match strategy:
        case "reject":
            return Admission(accepted=False)
        case "enqueue":
            return Admission(accepted=True)
        case "interrupt" | "rollback":
            return Admission(accepted=True, stop=strategy)
