"""What a graph is asked to do, and how it came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from .cache import BaseCache
from .checkpoint import CheckpointLog
from .context import RunnableConfig, merged_config
from .control import Interrupt
from .line import Line
from .store import BaseStore
from .stream import SILENT, Sink
from .world import World

__all__ = ["All", "Breakpoints", "Durability", "Finish", "Inner", "Job", "TakeIn"]

All = Literal["*"]  # nodes
Breakpoints = Sequence[str] | All
Durability = Literal["sync", "async", "exit"]
# Takes an input in, as a state update, with the metadata for its checkpoint. Raises what the state
# or the log raises for it; nothing has changed then.
TakeIn = Callable[[Any, Mapping[str, Any]], None]


@attrs.frozen(kw_only=True)
class Inner:
    """What a graph inside a run knows of the run around it.

    `caller`: the task that calls it, as a checkpoint namespace. `resumed`: whether that task had
    been at work before this run. `answers`: what a resume brought, by interrupt id. `line`: None
    where nothing is kept. `travels`: the checkpoints of inner graphs to go on from, by namespace;
    `origin`: the namespace that this graph had on the line that these are of.
    """

    caller: str
    resumed: bool
    answers: Mapping[str, Any]
    line: Line | None
    origin: tuple[str, ...]
    travels: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Job:
    """What a graph is asked to do.

    `input`: a dict of state keys starts a new turn, a `Command` answers or steers, None goes on.
    `log`: where checkpoints go and come from, None for a run that leaves none. `checkpoint_id`:
    start from this one instead of the newest. `bound`, `strict_resume`: see `resume.answers_of`.
    `carried_on`: it has been at work before, and left records: its input is in them. `metadata`:
    for its checkpoints. Breakpoints replace those that the graph was compiled with. `durability`:
    `sync` waits for each checkpoint before the next super-step, `async` goes on meanwhile, `exit`
    keeps only the last one. `ns`, `inner`: for a graph inside another: where it is, and what it
    knows of the run around it. `travels`: the checkpoints of inner graphs to go on from, by
    namespace, with `checkpoint_id`. `store`: in place of the graph's own. `cache`: for a graph that
    has none. `grace`: seconds that a cancelled task which is not trio's may take to stop.
    `progress`: called after each super-step. `boundary`: called between two super-steps of the
    outermost graph, with what takes more input in there. `seen`: the ids of messages that stream
    mode `messages` has no need to show again.
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
    strict_resume: bool = False
    carried_on: bool = False
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    ns: tuple[str, ...] = ()
    inner: Inner | None = None
    travels: Mapping[str, str] = attrs.field(factory=dict)
    seen: set[str] = attrs.field(factory=set)
    store: BaseStore | None = None
    cache: BaseCache | None = None
    grace: float = 5.0
    progress: Callable[[], None] = lambda: None
    boundary: Callable[[TakeIn], None] = lambda _: None

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
