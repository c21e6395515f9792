"""Runs that belong to one request: on a thread of their own, which goes with them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio

from greenroom.actors import Client, GreenroomError

__all__ = ["run_alone"]


async def run_alone(client: Client, assistant_id: str, input: Any) -> Any:
    """What a run comes to: values, with `__interrupt__` where it paused; `__error__` where it
    failed. It is stopped if the wait is cancelled.

    Raises NotFound, Invalid, Refused.
    """
    thread_id = (await client.threads.create())["thread_id"]
    try:
        return await client.runs.wait(thread_id, assistant_id, input=input, raise_error=False)
    finally:
        with trio.CancelScope(shield=True), suppress(GreenroomError):
            await client.threads.delete(thread_id)
