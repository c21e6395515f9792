"""What a graph is asked to do, and how it came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from .cache import BaseCache
from .checkpoint import CheckpointLog
from .context import RunnableConfig, merged_config
from .control import Interrupt
from .store import BaseStore
from .stream import SILENT, Sink
from .world import World

__all__ = ["All", "Breakpoints", "Durability", "Finish", "Job"]

All = Literal["*"]  # nodes
Breakpoints = Sequence[str] | All
Durability = Literal["sync", "async", "exit"]


@attrs.frozen(kw_only=True)
class Job:
    """What a graph is asked to do.

    `input`: a dict of state keys starts a new turn, a `Command` answers or steers, None goes on.
    `log`: where checkpoints go and come from, None for a run that leaves none. `checkpoint_id`:
    start from this one instead of the newest. `bound`: see `resume.answers_of`. `metadata`: for its
    checkpoints. Breakpoints replace those that the graph was compiled with. `durability`: `sync`
    waits for each checkpoint before the next super-step, `async` goes on meanwhile, `exit` keeps
    only the last one. `ns`, `answers`: for a graph called as a node: where it is, and the answers
    that a resume brought. `store`: in place of the graph's own. `cache`: for a graph that has
    none. `progress`: called after each super-step. `seen`: the ids of messages that stream mode
    `messages` has no need to show again.
    """

    input: Any = None
    config: RunnableConfig = attrs.field(factory=RunnableConfig)
    context: Any = None
    log: CheckpointLog | None = None
    world: World = attrs.field(factory=World)
    sink: Sink = SILENT
    checkpoint_id: str | None = None
    interrupt_before: Breakpoints = ()
    interrupt_after: Breakpoints = ()
    durability: Durability = "async"
    bound: Sequence[str] | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    ns: tuple[str, ...] = ()
    answers: Mapping[str, Any] = attrs.field(factory=dict)
    seen: set[str] = attrs.field(factory=set)
    store: BaseStore | None = None
    cache: BaseCache | None = None
    progress: Callable[[], None] = lambda: None

    def configured(self, base: RunnableConfig) -> Job:
        """With a config of the graph's own below the run's."""
        return attrs.evolve(
            self,
            config=merged_config(base, self.config),
            metadata={**base.get("metadata", {}), **self.metadata},
        )


@attrs.frozen(kw_only=True)
class Finish:
    """How a run came to an end that is no error.

    `interrupts`: the questions it paused at. `paused`: whether tasks are left to run, at an
    interrupt or a breakpoint. `warning`: what its sender should know.
    """

    values: Any
    interrupts: tuple[Interrupt, ...] = ()
    paused: bool = False
    warning: str | None = None
