"""What a node is given while it runs, found through a context variable."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypedDict, TypeVar, cast

import attrs
from typing_extensions import is_typeddict

from .errors import NodeError
from .store import BaseStore

if TYPE_CHECKING:
    from .calls import Calls
    from .compiled import CompiledStateGraph
    from .inner import Call
    from .job import Finish

__all__ = [
    "ExecutionInfo",
    "RunnableConfig",
    "Runtime",
    "StreamWriter",
    "TaskContext",
    "coerced",
    "current_task",
    "get_config",
    "get_runtime",
    "get_store",
    "get_stream_writer",
    "merged_config",
    "running_task",
]

StreamWriter = Callable[[Any], None]
C = TypeVar("C")
T = TypeVar("T")


class RunnableConfig(TypedDict, total=False):
    """What a run was configured with, as langchain-core's class of this name.

    `configurable`: the caller's own settings, and `thread_id`, `checkpoint_id`, `checkpoint_ns`.
    `recursion_limit`: super-steps before a run is given up (default 10007). `max_concurrency`: how
    many tasks of a graph may run at once (default: all of a super-step). `run_id`: the caller's
    name for the run. `tags`, `metadata`, `run_name`, `callbacks`: for those who watch it.
    """

    tags: list[str]
    run_name: str
    callbacks: Any
    metadata: dict[str, Any]
    recursion_limit: int
    max_concurrency: int | None
    run_id: Any
    configurable: dict[str, Any]


@attrs.frozen(kw_only=True)
class ExecutionInfo:
    """Where a node is at work.

    `thread_id`, `run_id`: None where the run has none. `node_attempt`: 1 for the first;
    `node_first_attempt_time`: when that one started, in seconds since 1970.
    """

    checkpoint_id: str
    checkpoint_ns: str
    task_id: str
    thread_id: str | None = None
    run_id: str | None = None
    node_attempt: int = 1
    node_first_attempt_time: float | None = None


@attrs.frozen(kw_only=True)
class Runtime(Generic[C]):
    """What a node may ask for beside the state: `def node(state, runtime: Runtime[Context])`.

    `store`: the one that the graph was compiled with, or its server's. `heartbeat`: tells that the
    node is getting on, which starts its idle timeout anew. `previous`: what the entrypoint returned
    last on this thread (functional API).
    """

    context: C = None  # type: ignore[assignment]
    store: BaseStore | None = None
    stream_writer: StreamWriter = lambda _: None
    heartbeat: Callable[[], None] = lambda: None
    previous: Any = None
    execution_info: ExecutionInfo | None = None

    def override(self, **parts: Any) -> Self:
        """A copy with other parts. Raises TypeError for a part that there is not."""
        return attrs.evolve(self, **parts)

    def merge(self, other: Runtime[C]) -> Self:
        """A copy with the parts of `other` that differ from their defaults."""
        fields = attrs.fields(type(other))
        given = {field.name: getattr(other, field.name) for field in fields}
        return self.override(
            **{f.name: given[f.name] for f in fields if given[f.name] is not f.default}
        )


class TaskContext(Protocol):
    """The part of a running task that user code can reach."""

    @property
    def calls(self) -> Calls:
        """Where tasks are called and steps are made."""
        ...

    @property
    def config(self) -> RunnableConfig: ...

    @property
    def runtime(self) -> Runtime[Any]: ...

    @property
    def error(self) -> NodeError | None:
        """For an error handler: what it handles."""
        ...

    def ask(self, value: Any, response_schema: Any = None) -> Any:
        """Answer of the next interrupt of this task, or GraphInterrupt."""
        ...

    @property
    def over(self) -> bool:
        """Whether its node is done; a thread of it may outlive that."""
        ...

    @property
    def path(self) -> tuple[str, ...]:
        """Where it is, outermost graph first."""
        ...

    async def call_graph(self, graph: CompiledStateGraph, given: Any, call: Call) -> Finish:
        """Run a graph as part of this task's run."""
        ...

    def visit(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run async code in the event loop, called in a thread."""
        ...

    def emit_message(self, chunk: Any) -> None:
        """Send a part of a message to readers of stream mode `messages`."""
        ...

    def push_message(self, message: Any) -> None:
        """Send a whole message to readers of stream mode `messages`."""
        ...

    def push_write(self, key: str, value: Any) -> None:
        """Write to a state key, before what the node returns."""
        ...


_task: ContextVar[TaskContext | None] = ContextVar("greenroom_task", default=None)


def current_task(caller: str) -> TaskContext:
    task = _task.get()
    if task is None:
        raise RuntimeError(f"{caller} was called outside a node of a running graph")
    return task


def running_task() -> TaskContext | None:
    """The task in whose node this is called; None outside nodes."""
    return _task.get()


def get_stream_writer() -> StreamWriter:
    """A function that sends its argument to readers of stream mode `custom`."""
    return current_task("get_stream_writer()").runtime.stream_writer


def get_store() -> BaseStore:
    """The store that the graph was compiled with, or its server's. Raises RuntimeError where there
    is none."""
    store = current_task("get_store()").runtime.store
    if store is None:
        raise RuntimeError("The graph has no store: compile it with store=InMemoryStore()")
    return store


def get_config() -> RunnableConfig:
    """The config of the run that this node belongs to."""
    return current_task("get_config()").config


def get_runtime(context_schema: type[C] | None = None) -> Runtime[C]:
    """The `Runtime` of the running node; `context_schema` is for the type checker."""
    return current_task("get_runtime()").runtime


def coerced(context: Any, schema: type[Any] | None) -> Any:
    """A context given as a dict, as the class that the graph declares for it.

    A TypedDict is a dict already. Raises what the class raises for what it does not take, with a
    note that says so.
    """
    if schema is None or is_typeddict(schema) or not isinstance(context, Mapping):
        return context
    try:
        return schema(**context)
    except Exception as error:
        error.add_note(f"Raised when the context of the run was made into {schema.__name__}")
        raise


def set_current_task(task: TaskContext) -> Any:
    """What runs from here on is part of a task: Runnables of langchain-core too, which are given
    its config where they are called without one. Returns what `reset_current_task` takes."""
    module = sys.modules.get("langchain_core.runnables.config")  # none are called without it
    if module is None:
        return _task.set(task), None, None
    ambient: ContextVar[Any] = module.var_child_runnable_config
    return _task.set(task), ambient, ambient.set(task.config)


def reset_current_task(tokens: Any) -> None:
    token, ambient, before = tokens
    _task.reset(token)
    if ambient is not None:
        ambient.reset(before)


def merged_config(base: RunnableConfig | None, given: RunnableConfig | None) -> RunnableConfig:
    """`given` over `base`: keys of `metadata` and `configurable` one by one, `tags` and lists of
    `callbacks` added up. Raises TypeError for what is no dict."""
    for config in (base, given):
        if config is not None and not isinstance(config, Mapping):
            raise TypeError(f"The config of a run is a dict; got {config!r}")
    if not base or not given:
        return cast(RunnableConfig, dict(given or base or {}))
    merged: dict[str, Any] = {**base, **given}
    for key in ("metadata", "configurable"):
        if key in merged:
            merged[key] = {**(base.get(key) or {}), **(given.get(key) or {})}
    if "tags" in merged:
        merged["tags"] = list(dict.fromkeys([*base.get("tags", ()), *given.get("tags", ())]))
    mine, others = base.get("callbacks"), given.get("callbacks")
    if isinstance(mine, list) and isinstance(others, list):
        merged["callbacks"] = [*mine, *(one for one in others if one not in mine)]
    return cast(RunnableConfig, merged)


def configurable(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The `configurable` part of a config, empty where there is none."""
    return dict((config or {}).get("configurable") or {})
