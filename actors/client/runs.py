"""Runs: requests to a thread, waited for, streamed or left to themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, get_args

import attrs

from greenroom.graph.resume import waiting
from greenroom.graph.stream import STREAM_MODES
from greenroom.storage import Storage, Unstorable
from greenroom.storage.codec import encode
from greenroom.storage.log import read_saved
from greenroom.storage.records import UNFINISHED, Assistant, Run, RunStatus

from ..active import command_of
from ..errors import Invalid, NotFound, Refused, RunFailed
from ..events import RunStream, StreamPart
from ..mailbox import Attach, Cancel, DeleteRun, Submit
from ..multitask import DEFAULT_STRATEGY, STRATEGIES
from ..supervisor import Supervisor
from ..views import RUN_FIELDS, result_view, run_view
from .assistants import AssistantsClient
from .checks import (
    check_choice,
    check_event_id,
    check_mapping,
    check_page,
    check_select,
    check_uuid,
    pick,
)
from .threads import new_thread

__all__ = ["RunHandle", "RunsClient"]

REPLAY_ALL: Final = (0, -1)  # event ids to start after that mean everything kept
_EVENTS = 1000  # kept events read at a time


@attrs.define(eq=False)
class RunHandle:
    """A run that was accepted: its record, its result and its events.

    `run`: the run's dictionary when the handle was made. `resumable`: whether its events are kept,
    so that a reader may come back and name the last one it saw.
    """

    run: dict[str, Any]
    thread_id: str
    run_id: str
    _house: Supervisor
    _stream: RunStream | None
    _from_start: bool = attrs.field(kw_only=True)

    @property
    def resumable(self) -> bool:
        return bool(self.run["kwargs"]["resumable"])

    async def result(self) -> dict[str, Any]:
        """The thread's values when the run is over, with `__interrupt__` where it paused and
        `__error__` (`error`, `message`) alone where it failed."""
        if self._stream is not None:
            result: dict[str, Any] = await self._stream.wait()
            return result
        return await self._past_result()

    async def events(
        self, *, after: int | None = None, stream_mode: str | Sequence[str] | None = None
    ) -> AsyncGenerator[list[StreamPart], None]:
        """The run's events, in batches of what had queued up; ends with the run.

        `after`: the id of the last event seen; 0 or -1 for everything kept. Without it, the handle
        of a run just started gives all events, another one those from now on. `stream_mode`: only
        these.
        """
        modes = None if stream_mode is None else {"metadata", "error", *_modes(stream_mode)}
        stream = self._stream
        parts = stream.parts if stream is not None else []
        start = 0 if self._from_start else len(parts)
        if after is not None and self.resumable:
            after = 0 if after in REPLAY_ALL else after
            first = parts[0].id if parts else None
            async with aclosing(self._kept(after, first)) as kept:
                async for batch in kept:
                    after = batch[-1].id
                    if batch := _only(batch, modes):
                        yield batch
            start = next((at for at, part in enumerate(parts) if part.id > after), len(parts))
        if stream is None:
            return
        async with aclosing(stream.follow(start)) as followed:
            async for batch in followed:
                if batch := _only(batch, modes):
                    yield batch

    async def parts(
        self,
        *,
        after: int | None = None,
        stream_mode: str | Sequence[str] | None = None,
        cancels: bool = False,
    ) -> AsyncGenerator[StreamPart, None]:
        """`events`, one by one. `cancels`: leaving before the end cancels the run."""
        try:
            async with aclosing(self.events(after=after, stream_mode=stream_mode)) as batches:
                async for batch in batches:
                    for part in batch:
                        yield part
        finally:
            if cancels:
                self.leave()

    def leave(self) -> None:
        """Tell the run to stop, if it has not ended; does not wait."""
        if self._stream is not None and not self._stream.ended.is_set():
            self._house.tell(self.thread_id, Cancel(self.run_id, "interrupt"))

    async def _kept(self, after: int, before: int | None) -> AsyncGenerator[list[StreamPart], None]:
        """Events of earlier processes, or of a run that is over."""
        while True:
            found = await self._house.session.read(
                Storage.read_events, self.thread_id, self.run_id, after=after, limit=_EVENTS
            )
            batch = [
                StreamPart(event.event_id, event.name, event.data)
                for event in found
                if before is None or event.event_id < before
            ]
            if batch:
                yield batch
            if len(batch) < _EVENTS:
                return
            after = batch[-1].id

    async def _past_result(self) -> dict[str, Any]:
        def read(storage: Storage) -> tuple[Run | None, Any]:
            run = storage.get_run(self.thread_id, self.run_id)
            return run, read_saved(storage, self.thread_id)

        run, saved = await self._house.session.read(read)
        if run is not None and run.error is not None:
            return {"__error__": run.error}
        if saved is None:
            return {}
        interrupts = waiting(saved)
        # As the reference: of a run that paused a while ago, only the questions.
        return result_view({} if interrupts else saved.checkpoint.values, interrupts)


class RunsClient:
    """`client.runs`."""

    def __init__(self, supervisor: Supervisor, assistants: AssistantsClient) -> None:
        self._house = supervisor
        self._assistants = assistants

    async def create(self, thread_id: str, assistant_id: str, **request: Any) -> dict[str, Any]:
        """Start a run and leave it to itself; returns the run. Arguments as `start`."""
        return (await self.start(thread_id, assistant_id, follow=False, **request)).run

    async def wait(
        self,
        thread_id: str,
        assistant_id: str,
        *,
        raise_error: bool = True,
        on_disconnect: str | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """Run to the end and return the thread's values, with `__interrupt__` where it paused.

        Raises RunFailed where the run failed, or returns `{"__error__": …}` if `raise_error` is
        False. `on_disconnect`: `continue` (default) or `cancel` the run if the wait is cancelled.
        Other arguments as `start`.
        """
        cancels = _cancels(on_disconnect)
        handle = await self.start(thread_id, assistant_id, follow=False, **request)
        try:
            return _raised(await handle.result(), raise_error)
        finally:
            if cancels:
                handle.leave()

    async def stream(
        self,
        thread_id: str,
        assistant_id: str,
        *,
        on_disconnect: str | None = None,
        **request: Any,
    ) -> AsyncGenerator[StreamPart, None]:
        """Run and follow: `async for part in client.runs.stream(…)`. Arguments as `start`.

        The first part is `metadata`, the last `error` if the run failed. `on_disconnect`:
        `continue` (default) or `cancel` the run if the loop is left before its end; wrap the
        iterator in `contextlib.aclosing`, so that leaving is noticed at once.
        """
        cancels = _cancels(on_disconnect)
        handle = await self.start(thread_id, assistant_id, **request)
        async with aclosing(handle.parts(cancels=cancels)) as parts:
            async for part in parts:
                yield part

    async def start(
        self,
        thread_id: str,
        assistant_id: str,
        *,
        input: Mapping[str, Any] | None = None,
        command: Mapping[str, Any] | None = None,
        stream_mode: str | Sequence[str] = "values",
        stream_subgraphs: bool = False,
        stream_resumable: bool = False,
        metadata: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        checkpoint_id: str | None = None,
        interrupt_before: str | Sequence[str] | None = None,
        interrupt_after: str | Sequence[str] | None = None,
        multitask_strategy: str | None = None,
        if_not_exists: str | None = None,
        durability: str | None = None,
        follow: bool = True,
    ) -> RunHandle:
        """Start a run; when this returns it is durable and will be carried out.

        `assistant_id`: a UUID or a graph's name. `input`: a new turn; `command`: `resume`,
        `update`,
        `goto`, and outweighs `input`; neither: go on where the thread paused or failed.
        `stream_mode`: one or several of `values` (default), `updates`, `custom`.
        `stream_resumable`: keep the events.
        `checkpoint`, `checkpoint_id`: go on from an older one. `interrupt_before`,
        `interrupt_after`: breakpoints of this run, or "*". `multitask_strategy`: what happens if
        the thread is busy: `enqueue` (default), `reject`, `interrupt` or `rollback`.
        `if_not_exists`: `reject` (default: NotFound) or `create` the thread. `durability`: `async`,
        the only one for now. `follow`: the events will be read from the first.

        Raises NotFound, Conflict (`reject` on a busy thread), Invalid, Refused.
        """
        ident = check_uuid("thread_id", thread_id)
        assistant = await self._assistants.resolve(assistant_id)
        self._house.graph(assistant.graph_id)
        strategy = check_choice(
            "multitask_strategy", multitask_strategy or DEFAULT_STRATEGY, STRATEGIES
        )
        check_choice("durability", durability or "async", ("async",))
        create = check_choice("if_not_exists", if_not_exists or "reject", ("reject", "create"))
        settings, shown = _settings(assistant, config, context)
        if (at := _checkpoint_id(checkpoint, checkpoint_id)) is not None:
            settings["configurable"]["checkpoint_id"] = at
        if command is not None:
            command_of(check_mapping("command", command))
        now = self._house.world.timestamp()
        kwargs = {
            "input": None if input is None else _input(input),
            "command": command,
            "config": settings,
            "context": shown,
            "stream_mode": list(_modes(stream_mode)),
            "interrupt_before": _breakpoints("interrupt_before", interrupt_before),
            "interrupt_after": _breakpoints("interrupt_after", interrupt_after),
            "webhook": None,
            "feedback_keys": None,
            "temporary": False,
            "subgraphs": stream_subgraphs,
            "resumable": stream_resumable,
            "checkpoint_during": None,
            "durability": "async",
        }
        try:
            encode(kwargs)
        except Unstorable as error:
            raise Invalid(str(error)) from error
        run = Run(
            run_id=self._house.world.record_id(),
            thread_id=ident,
            assistant_id=assistant.assistant_id,
            seq=0,  # its actor gives it its place
            status="pending",
            created_at=now,
            updated_at=now,
            multitask_strategy=strategy,
            kwargs=kwargs,
            metadata={
                **assistant.metadata,
                **settings.get("metadata", {}),
                **check_mapping("metadata", metadata),
                "graph_id": assistant.graph_id,
                "assistant_id": assistant.assistant_id,
            },
        )
        thread = new_thread(ident, now) if create == "create" else None
        accepted = await self._house.ask(ident, Submit(run, strategy, thread, follow))
        return RunHandle(
            run_view(accepted.run),
            ident,
            run.run_id,
            self._house,
            accepted.stream,
            from_start=follow,
        )

    async def attach(self, thread_id: str, run_id: str) -> RunHandle:
        """A handle on a run that was started before. Raises NotFound."""
        run = await self._find(thread_id, run_id)
        stream = None
        if run.status in UNFINISHED:
            stream = await self._house.ask(run.thread_id, Attach(run.run_id))
            if stream is None:  # it has ended since it was read
                run = await self._find(thread_id, run_id)
        return RunHandle(
            run_view(run), run.thread_id, run.run_id, self._house, stream, from_start=False
        )

    async def list(
        self,
        thread_id: str,
        *,
        limit: int = 10,
        offset: int = 0,
        status: str | None = None,
        select: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """The runs of a thread, newest first. Raises NotFound for an unknown thread."""
        check_page(limit, offset)
        fields = check_select(select, RUN_FIELDS)
        ident = check_uuid("thread_id", thread_id)
        if status is not None and status not in get_args(RunStatus):
            return []

        def read(storage: Storage) -> list[Run] | None:
            if storage.get_thread(ident) is None:
                return None
            return storage.list_runs(ident, status=status, limit=limit, offset=offset)  # type: ignore[arg-type]

        found = await self._house.session.read(read)
        if found is None:
            raise NotFound(f"Thread {ident!r} not found")
        return [pick(run_view(run), fields) for run in found]

    async def get(self, thread_id: str, run_id: str) -> dict[str, Any]:
        """A run. Raises NotFound."""
        return run_view(await self._find(thread_id, run_id))

    async def join(
        self, thread_id: str, run_id: str, *, raise_error: bool = True
    ) -> dict[str, Any]:
        """Wait until a run is over; returns the thread's newest values, raises as `wait`."""
        return _raised(await (await self.attach(thread_id, run_id)).result(), raise_error)

    async def join_stream(
        self,
        thread_id: str,
        run_id: str,
        *,
        cancel_on_disconnect: bool = False,
        stream_mode: str | Sequence[str] | None = None,
        last_event_id: str | int | None = None,
    ) -> AsyncGenerator[StreamPart, None]:
        """Follow a run from now on or, a resumable one, from the event after `last_event_id` (0:
        all).
        """
        handle = await self.attach(thread_id, run_id)
        after = None if last_event_id is None else check_event_id("last_event_id", last_event_id)
        following = handle.parts(after=after, stream_mode=stream_mode, cancels=cancel_on_disconnect)
        async with aclosing(following) as parts:
            async for part in parts:
                yield part

    async def cancel(
        self, thread_id: str, run_id: str, *, wait: bool = False, action: str = "interrupt"
    ) -> None:
        """Stop a run that is queued or under way: `interrupt` keeps what it did, `rollback` deletes
        it.

        Returns when that is certain; with `wait`, when it has stopped. Raises NotFound for a run
        that is unknown or over.
        """
        ident = check_uuid("thread_id", thread_id)
        run = check_uuid("run_id", run_id)
        check_choice("action", action, ("interrupt", "rollback"))
        stopped = await self._house.ask(ident, Cancel(run, action))  # type: ignore[arg-type]
        if wait:
            await stopped.wait()

    async def delete(self, thread_id: str, run_id: str) -> None:
        """Delete a run; one under way is stopped first. The state it left stays. Raises
        NotFound.
        """
        ident = check_uuid("thread_id", thread_id)
        await self._house.ask(ident, DeleteRun(check_uuid("run_id", run_id)))

    async def _find(self, thread_id: str, run_id: str) -> Run:
        ident, wanted = check_uuid("thread_id", thread_id), check_uuid("run_id", run_id)
        run = await self._house.session.read(Storage.get_run, ident, wanted)
        if run is None:
            raise NotFound(f"Run {wanted!r} not found")
        return run


def _settings(
    assistant: Assistant, config: Mapping[str, Any] | None, context: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A run's config and context. `configurable` and `context` stand for each other."""
    given = check_mapping("config", config)
    own = check_mapping("config.configurable", given.get("configurable"))
    shown = check_mapping("context", context)
    if own and shown:
        raise Refused("Give either config.configurable or context, not both")
    limit = given.get("recursion_limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Invalid(f"config.recursion_limit: {limit!r} is not a whole number of at least 1")
    base = assistant.config
    merged = {**base.get("configurable", {}), **assistant.context, **(own or shown)}
    settings = {
        **base,
        **{key: value for key, value in given.items() if value is not None},
        "configurable": dict(merged),
        "metadata": check_mapping("config.metadata", given.get("metadata")),
    }
    return settings, dict(merged)


def _checkpoint_id(checkpoint: Mapping[str, Any] | None, checkpoint_id: str | None) -> str | None:
    given = (checkpoint or {}).get("checkpoint_id") or checkpoint_id
    return None if given is None else check_uuid("checkpoint_id", given)


def _input(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Invalid(f"input: {given!r} is not an object of state keys")
    return dict(given)


def _modes(given: str | Sequence[str]) -> tuple[str, ...]:
    modes = (given,) if isinstance(given, str) else tuple(given)
    for mode in modes:
        check_choice("stream_mode", mode, STREAM_MODES)
    return modes


def _breakpoints(name: str, given: str | Sequence[str] | None) -> str | list[str] | None:
    if given is None or given == "*":
        return given
    if isinstance(given, str) or not all(isinstance(node, str) for node in given):
        raise Invalid(f"{name}: {given!r} is neither '*' nor a list of node names")
    return list(given)


def _cancels(on_disconnect: str | None) -> bool:
    given = on_disconnect or "continue"
    return bool(check_choice("on_disconnect", given, ("cancel", "continue")) == "cancel")


def _only(batch: list[StreamPart], modes: set[str] | None) -> list[StreamPart]:
    return batch if modes is None else [part for part in batch if part.mode in modes]


def _raised(result: dict[str, Any], raise_error: bool) -> dict[str, Any]:
    error = result.get("__error__")
    if raise_error and error is not None:
        raise RunFailed(error["error"], error["message"])
    return result
