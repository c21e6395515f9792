"""How often something happened, and how long it took."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import attrs

__all__ = ["BOUNDS", "Timing"]

BOUNDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


@attrs.define
class Timing:
    """A histogram. `counts`: how often it took at most so many seconds, by `BOUNDS`, each counted
    once; the last for what took longer. `seconds`: all together."""

    counts: list[int] = attrs.field(factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
