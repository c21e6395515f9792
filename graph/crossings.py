"""What trio's loop and an asyncio loop have each other run."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import trio

from .errors import AsyncioThreadDied

__all__ = ["Call", "Visit", "as_exception", "name_of"]

_CUT_SHORT: Final = "What was to run on trio was cut short: trio or its asyncio loop came to an end"


@attrs.define(eq=False)
class Call:
    """A coroutine function that trio has run on the loop. `over`: its outcome is here, or will not
    come."""

    function: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...]
    name: str
    context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    task: asyncio.Task[Any] | None = None
    abandoned: bool = False
    over: trio.Event = attrs.field(factory=trio.Event)
    value: Any = None
    error: Exception | None = None

    async def carry_out(self) -> Any:
        try:
            return await self.function(*self.args)
        finally:
            del self  # it will have the error, whose traceback has this frame


@attrs.define(eq=False)
class Visit:
    """An async function that is run on trio for somebody else, who is told by `over`.

    `error`: until it has ended of itself, that it has not; who cancels it does not ask.
    """

    function: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...]
    over: Callable[[], object]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    value: Any = None
    error: Exception | None = attrs.field(factory=lambda: AsyncioThreadDied(_CUT_SHORT))

    async def carry_out(self) -> None:
        try:
            with self.scope:
                if not self.scope.cancel_called:
                    self.value = await self.function(*self.args)
                    self.error = None
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.error = as_exception(error, f"{name_of(self.function)!r}, run on trio,")
        finally:
            self.over()

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def as_exception(error: BaseException, who: str) -> Exception:
    """For another loop, where what is no Exception would do harm."""
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"{who} raised {error!r}")
    wrapped.__cause__ = error
    return wrapped


def name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
