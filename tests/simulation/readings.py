"""What a reader of a run's events was shown."""

from __future__ import annotations

import attrs

from greenroom.actors.events import StreamPart

__all__ = ["Reading"]


@attrs.define(eq=False)
class Reading:
    """What a reader was shown of a run. `after`: the event it had named; None for those from then
    on. `whole`: it stayed to the end."""

    run_id: str
    after: int | None
    parts: list[StreamPart] = attrs.field(factory=list)
    whole: bool = False
