"""Many runs of one graph, side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from .context import RunnableConfig
from .timelimit import places

__all__ = ["batch"]


async def batch(
    run: Callable[[Any, RunnableConfig | None], Awaitable[Any]],
    inputs: Sequence[Any],
    config: RunnableConfig | Sequence[RunnableConfig] | None,
    *,
    return_exceptions: bool,
) -> list[Any]:
    """See `CompiledStateGraph.abatch`. Raises ValueError for configs that are not as many as the
    inputs."""
    several = not (config is None or isinstance(config, Mapping))
    configs: Sequence[Any] = list(config or ()) if several else [config] * len(inputs)
    if len(configs) != len(inputs):
        raise ValueError(f"There are {len(inputs)} inputs and {len(configs)} configs")
    at_once = places(((configs[0] if configs else None) or {}).get("max_concurrency"))
    results: list[Any] = [None] * len(inputs)
    errors: list[Exception] = []

    async def one(at: int, nursery: trio.Nursery) -> None:
        try:
            if at_once is None:
                results[at] = await run(inputs[at], configs[at])
            else:
                async with at_once:
                    results[at] = await run(inputs[at], configs[at])
        except Exception as error:
            results[at] = error
            if not return_exceptions:
                errors.append(error)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for at in range(len(inputs)):
            nursery.start_soon(one, at, nursery)
    if errors:
        raise errors[0]  # the others may come of being cut short
    return results
