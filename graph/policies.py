"""How a node may take its time, and what it may remember. Names follow `langgraph.types`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Literal

import attrs
import msgspec

from .control import RetryPolicy

__all__ = ["CachePolicy", "TimeoutPolicy", "default_cache_key", "retry_policies"]

Seconds = float | timedelta


def default_cache_key(*args: Any, **kwargs: Any) -> str:
    """A digest of a node's input, or of the arguments of a task: the same for equal ones whatever
    the order of their keys.

    Raises TypeError for an input with something in it that is no plain data.
    """
    try:
        plain = msgspec.json.encode([args, kwargs], order="deterministic")
    except (TypeError, msgspec.EncodeError) as error:
        raise TypeError(
            f"The input has no cache key of its own ({error}): give CachePolicy a key_func"
        ) from error
    return blake2b(plain, digest_size=16).hexdigest()


@attrs.frozen(kw_only=True)
class CachePolicy:
    """Remember what a node did with an input, in the cache the graph was compiled with.

    `key_func`: from the node's input, or a task's arguments, to the key that stands for it.
    `ttl`: seconds to remember it (default None: for ever).
    """

    key_func: Callable[..., str | bytes] = default_cache_key
    ttl: float | None = None


@attrs.frozen(kw_only=True)
class TimeoutPolicy:
    """How long one attempt of a node may take, in seconds or as a timedelta.

    `run_timeout`: all in all. `idle_timeout`: without a sign of progress, which is what the node
    writes to its stream writer, a super-step of a graph called as the node, a task or a step that
    has finished, and `runtime.heartbeat()`; with `refresh_on="heartbeat"` only the last.
    """

    run_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    refresh_on: Literal["auto", "heartbeat"] = "auto"

    @classmethod
    def coerce(cls, given: Seconds | TimeoutPolicy | None) -> TimeoutPolicy | None:
        """A policy with its times as seconds; a bare time is a `run_timeout`.

        None where it limits nothing. Raises ValueError for a time that is not positive, TypeError
        for what is no time.
        """
        if given is None:
            return None
        policy = given if isinstance(given, TimeoutPolicy) else cls(run_timeout=given)
        if policy.refresh_on not in ("auto", "heartbeat"):
            raise ValueError(f"refresh_on must be 'auto' or 'heartbeat'; got {policy.refresh_on!r}")
        run = _seconds("run_timeout", policy.run_timeout)
        idle = _seconds("idle_timeout", policy.idle_timeout)
        if run is None and idle is None:
            return None
        return cls(run_timeout=run, idle_timeout=idle, refresh_on=policy.refresh_on)


def retry_policies(given: RetryPolicy | Sequence[RetryPolicy] | None) -> tuple[RetryPolicy, ...]:
    """One policy or several as a tuple. Raises TypeError for anything else."""
    if given is None:
        return ()
    several = (given,) if isinstance(given, RetryPolicy) else given
    if not isinstance(several, Sequence) or not all(isinstance(p, RetryPolicy) for p in several):
        raise TypeError(f"retry_policy must be a RetryPolicy or several; got {given!r}")
    return tuple(several)


def _seconds(name: str, given: Seconds | None) -> float | None:
    if given is None:
        return None
    if not isinstance(given, (int, float, timedelta)):
        raise TypeError(f"{name} must be seconds or a timedelta; got {given!r}")
    seconds = given.total_seconds() if isinstance(given, timedelta) else float(given)
    if not seconds > 0:
        raise ValueError(f"{name} must be more than 0; got {given!r}")
    return seconds
