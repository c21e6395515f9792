"""What a runtime counts, for whoever watches it."""

from __future__ import annotations

from collections import Counter

import attrs

from greenroom.storage.timing import Timing

__all__ = ["Census", "Meters"]


@attrs.define
class Meters:
    """Since the runtime was entered.

    `admissions`: runs that arrived, by their strategy and `accepted` or `refused`. `ended`: runs by
    the status that they ended with; `rolled back` for those that are gone. `hand_overs`: the time
    from a run being told to stop until the next one on its thread starts. `fenced_writes`: what
    runs wrote that had been given up on, and was refused.
    """

    admissions: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    ended: Counter[str] = attrs.field(factory=Counter)
    hand_overs: Timing = attrs.field(factory=Timing)
    fenced_writes: int = 0


@attrs.frozen
class Census:
    """How many there are at the moment. `actors`: threads that are awake. `messages`: in their
    mailboxes, not yet read. `running`, `pending`: runs. `followers`: readers of whole threads."""

    actors: int
    messages: int
    running: int
    pending: int
    followers: int
