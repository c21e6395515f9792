"""One run of a graph of LangGraph's: on the asyncio loop, told to trio as it goes."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import attrs
from langgraph._internal._constants import NULL_TASK_ID
from langgraph.store.base import BaseStore as LangGraphStore
from langgraph.types import Command as LangGraphCommand
from langgraph.types import Interrupt as LangGraphInterrupt
from langgraph.types import StateSnapshot
from pydantic.errors import PydanticUserError

from .. import errors
from ..answers import asker
from ..checkpoint import Saved
from ..control import Command, Interrupt
from ..here import tell_trio_later
from ..isolation import isolated
from ..job import Finish, Job
from ..resume import answers_of, waiting
from .classes import make_known
from .events import told_by
from .factories import AnyPregel, Factory, FactoryRuntime
from .prepared import empty_values, prepared
from .records import interrupts_of, to_command
from .saver import LogWriter

__all__ = ["NOTHING", "Performance", "as_asked", "finish_of", "given_to", "translated"]

TOLD: Final = 0.001  # seconds that events wait for more
NOTHING: Final = object()  # an input that asks for no run
_keys: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()  # of contexts, by schema
_ALWAYS: Final = ("values", "updates")
_MODES: Final = ("values", "updates", "messages", "custom", "tasks", "checkpoints", "debug")


def given_to(job: Job, saved: Saved | None) -> tuple[Any, str | None]:
    """What LangGraph is given as its input, and a warning of what in it answers nothing.

    `saved`: the checkpoint that the run goes on from. Raises InvalidResumeError.
    """
    given, taken_up = job.input, saved is not None and _has_taken_up(job, saved)
    if not isinstance(given, Command):
        return (None if taken_up else isolated(given)), None
    answers: Mapping[str, Any] = {}
    warning = None
    if given.resume is not None and saved is not None:
        strict = job.strict_resume and not taken_up
        answers, warning = answers_of(
            isolated(given.resume), waiting(saved), job.bound, strict=strict
        )
    if taken_up:  # the rest of it is in the log
        return LangGraphCommand(resume=answers) if answers else None, None
    if not answers and not given.update and not given.targets():
        if saved is None or given.resume is None:
            raise errors.EmptyInputError("There is nothing on the thread that the Command answers")
        is_past = job.checkpoint_id is not None and not saved.checkpoint.next
        if job.bound or waiting(saved) or is_past:
            return NOTHING, warning
        # Nothing was asked: it says to go on, or shows what there is.
        return None, None if saved.checkpoint.next else warning
    return to_command(given, answers), warning


async def as_asked(job: Job, given: Any, waits: Sequence[Interrupt]) -> Any:
    """The same, with the answer to the one question that waits without its id, where the run goes
    on from the checkpoint of a graph inside that asks it: LangGraph asks it under another then."""
    if not isinstance(given, LangGraphCommand) or not given.resume or len(waits) != 1:
        return given
    ns = "|".join(waits[0].ns[:-1])
    if job.log is None or ns not in job.travels:
        return given
    saved = await job.log.load(ns, job.travels[ns])
    so_far = None if saved is None else saved.pending.get(asker(waits[0]))
    if so_far is None or not so_far.interrupts or so_far.resumes:
        return given  # another question comes first, which it is no answer to
    return _plainly(given)


def _plainly(given: LangGraphCommand[Any]) -> LangGraphCommand[Any]:
    """With its one answer without the id of the question."""
    [answer] = cast(Any, given.resume).values()
    return replace(given, resume=answer)


def _has_taken_up(job: Job, saved: Saved) -> bool:
    """Whether what the job gives is in the log: with durability `exit`, what graphs inside leave
    comes before anything of the outermost one."""
    if not job.carried_on:
        return False
    if saved.checkpoint.metadata.get("run_id") == job.metadata.get("run_id"):
        return True
    given = job.input
    if not isinstance(given, Command):
        return False
    # What it writes is with the checkpoint that it is given on; answers are given again.
    return NULL_TASK_ID in saved.pending or not (given.update or given.targets())


def translated(error: BaseException) -> BaseException:
    """An error of LangGraph's as ours of the same name; others as they are."""
    kind = type(error)
    ours = getattr(errors, kind.__name__, None)
    if not kind.__module__.startswith("langgraph.") or not isinstance(ours, type):
        return error
    if not issubclass(ours, errors.GraphError):
        return error
    made = ours.__new__(ours)
    made.args = error.args
    made.__cause__ = error
    return cast(BaseException, made)


@attrs.define(eq=False)
class Performance:
    """A run. `config`: as LangGraph's nodes see it. `given`: its input. `inside`: whether the
    question that it answers was asked in a graph inside."""

    factory: Factory
    job: Job
    config: dict[str, Any]
    given: Any
    saver: LogWriter
    store: LangGraphStore | None
    inside: bool = False
    output: Any = None  # of its output schema
    channel: str | None = None  # see `finish_of`
    _failure: Exception | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """On the asyncio loop. Raises what the graph does, and what the log did for a record."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self.saver.stopped = self._is_stopped
        try:
            runtime = FactoryRuntime("threads.create_run", self.store, self.job.context)
            async with self.factory.made(self.config, runtime) as graph:
                own = prepared(graph, self.saver, self.store)
                self.saver.serve(own, empty_values(graph))
                if self.factory.graph is None and make_known(graph):
                    await self.saver.read_anew()
                if isinstance(self.given, LangGraphCommand):
                    # LangGraph takes a third less without, but then forgets an answer if it is cut
                    # short.
                    own.stream_eager = True
                    self.given = await self._renewed(own, self.given)
                await self._stream(own)
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
            raise
        except Exception as error:
            if self._failure is not None:
                raise self._failure from None
            if (ours := translated(error)) is not error:
                raise ours from error
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            # Of a node, which has ended the loop with it: so that the loop can be tidied up. Or of
            # what makes the graph.
            raise RuntimeError(f"The graph raised {error!r}") from error
        finally:
            self.saver.over = True

    def fail(self, error: Exception) -> None:
        """On trio: the log has refused a record, so that the run is to come to an end."""
        self._failure = self._failure or error
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _renewed(
        self, graph: AnyPregel, given: LangGraphCommand[Any]
    ) -> LangGraphCommand[Any]:
        """The answer to the one question that waits without its id, where it was asked in a graph
        inside that was edited since: LangGraph asks it under another."""
        answers = given.resume
        if not self.inside or not isinstance(answers, dict) or len(answers) != 1:
            return given
        if self.job.input.resume == answers:
            return given
        [ident] = answers
        state = await graph.aget_state(cast(Any, self.config), subgraphs=True)
        return _plainly(given) if _was_edited(state, ident) else given

    async def _stream(self, graph: AnyPregel) -> None:
        job, sink = self.job, self.job.sink
        # Of `updates` there are some after each super-step, so that `_watched` sees it.
        modes: Any = [mode for mode in _MODES if mode in sink.offered or mode in _ALWAYS]
        within = sink.subgraphs
        if isinstance(graph.output_channels, str):
            self.channel = graph.output_channels
        how: dict[str, Any] = {
            "context": _fitting(graph, job.context),
            "stream_mode": modes,
            "output_keys": graph.output_channels,
            "subgraphs": within,
            "interrupt_before": job.interrupt_before or None,
            "interrupt_after": job.interrupt_after or None,
            "durability": job.durability,
        }
        if "events" in sink.offered:
            own = cast(Any, copy.copy(graph))
            own.astream = partial(self._watched, graph)  # which `astream_events` calls
            asked = job.input
            if isinstance(asked, Command):
                asked = {**attrs.asdict(asked, recurse=False), "goto": asked.goto or None}
            parts = told_by(own, self.given, asked, self.config, self._tell_event, how)
        else:
            parts = self._watched(graph, self.given, self.config, **how)
        async with contextlib.aclosing(parts):
            async for part in parts:
                ns, mode, data = part if within else ((), *part)
                if mode == "values" and not ns:
                    self.output = data
                if mode in sink.modes and (not ns or sink.subgraphs):
                    shown = _shown(mode, data, self.saver.places)
                    tell_trio_later(TOLD, sink.emit, mode, ns, shown)

    async def _watched(
        self, graph: AnyPregel, given: Any, config: Any, **how: Any
    ) -> AsyncGenerator[Any, None]:
        """What the graph streams, for as long as the run is not told to stop."""
        async with contextlib.aclosing(cast(Any, graph.astream(given, config, **how))) as parts:
            async for part in parts:
                if self._is_stopped():
                    raise asyncio.CancelledError  # a node has swallowed it: no other is to begin
                yield part

    def _is_stopped(self) -> bool:
        return self._task is not None and bool(self._task.cancelling())

    def _tell_event(self, event: dict[str, Any]) -> None:
        sink = self.job.sink
        if "events" in sink.modes:
            tell_trio_later(TOLD, sink.emit, "events", (), event)


def _was_edited(state: StateSnapshot, ident: str) -> bool:
    """Whether the graph inside that asks was."""
    for task in state.tasks:
        inner = task.state
        if isinstance(inner, StateSnapshot) and any(one.id == ident for one in task.interrupts):
            about = inner.metadata or {}
            return about.get("source") == "update" or _was_edited(inner, ident)
    return False


def _fitting(graph: AnyPregel, context: Any) -> Any:
    """Of a context what its schema names: an assistant's may be for several graphs."""
    schema = graph.context_schema
    if not context or not isinstance(context, dict) or schema is None:
        return context
    if schema not in _keys:
        _keys[schema] = _named_by(graph)
    known = _keys[schema]
    return {key: value for key, value in context.items() if key in known} if known else context


def _named_by(graph: AnyPregel) -> frozenset[str]:
    """The keys of its context; none where they are not known."""
    try:
        schema = graph.get_context_jsonschema() or {}
    except PydanticUserError:  # a TypedDict of `typing` on Python 3.11, for one
        return frozenset()
    return frozenset(schema.get("properties", ()))


def _shown(mode: str, data: Any, places: Mapping[str, tuple[str, ...]]) -> Any:
    """An event as our engine gives it: with our questions, and the reader's own."""
    if mode == "messages":
        return data
    data = isolated(data)
    if mode in ("values", "updates") and isinstance(data, dict) and "__interrupt__" in data:
        data["__interrupt__"] = interrupts_of(data["__interrupt__"], places=places)
    elif mode in ("tasks", "checkpoints", "debug") and isinstance(data, dict):
        _show_tasks(data["payload"] if mode == "debug" else data)
    return data


def _show_tasks(payload: dict[str, Any]) -> None:
    """The questions of tasks as ours, and their errors as states show them."""
    for task in payload.get("tasks", ()):
        if isinstance(task.get("error"), BaseException):
            task["error"] = repr(task["error"])
    for one in (payload, *payload.get("tasks", ())):
        if one.get("interrupts"):
            one["interrupts"] = tuple(
                interrupts_of(asked)[0] if isinstance(asked, LangGraphInterrupt) else asked
                for asked in one["interrupts"]
            )


def finish_of(
    head: Saved | None, output: Any, warning: str | None, channel: str | None = None
) -> Finish:
    """How a run came out. `head`: the newest checkpoint then. `channel`: where the output is one
    value, whatever that is, the channel that has it."""
    if isinstance(output, dict) and "__interrupt__" in output:
        output = {key: value for key, value in output.items() if key != "__interrupt__"}
    paused = head is not None and bool(head.checkpoint.next)
    if head is not None and paused:
        # What tasks beside the one that waits have come to is not in the state yet.
        values = head.checkpoint.values
        if channel is not None:
            output = isolated(values.get(channel))
        elif isinstance(output, dict):
            output = {key: isolated(values[key]) for key in output if key in values}
    return Finish(
        values=output,
        interrupts=() if head is None else waiting(head),
        paused=paused,
        warning=warning,
    )
