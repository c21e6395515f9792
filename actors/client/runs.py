"""Runs: requests to a thread, waited for, streamed or left to themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, get_args

from greenroom.graph import CompiledStateGraph
from greenroom.graph.isolation import isolated
from greenroom.graph.job import Durability
from greenroom.storage import Storage, Unstorable
from greenroom.storage.codec import decode, kept
from greenroom.storage.records import UNFINISHED, Assistant, Run, RunStatus

from ..active import command_of
from ..errors import Invalid, NotFound, Refused, RunFailed
from ..events import StreamPart
from ..mailbox import Attach, Cancel, DeleteRun, Submit
from ..multitask import DEFAULT_STRATEGY, STRATEGIES
from ..supervisor import Supervisor
from ..views import RUN_FIELDS, run_view
from .assistants import AssistantsClient
from .checks import (
    check_choice,
    check_event_id,
    check_mapping,
    check_modes,
    check_page,
    check_select,
    check_uuid,
    pick,
)
from .handle import RunHandle
from .threads import new_thread

__all__ = ["RunsClient"]


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
    ) -> Any:
        """Run to the end and return the thread's values, with `__interrupt__` where it paused; of
        an entrypoint, what it returned.

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
        self, thread_id: str, assistant_id: str, *, follow: bool = True, **request: Any
    ) -> RunHandle:
        """Start a run; when this returns it is durable and will be carried out.

        `follow`: the events will be read from the first. Other arguments as `prepare`, which raises
        most of what can be wrong; Conflict is raised for `reject` on a busy thread.
        """
        submit = await self.prepare(thread_id, assistant_id, follow=follow, **request)
        accepted = await self._house.ask(submit.run.thread_id, submit)
        return RunHandle(
            run_view(accepted.run),
            submit.run.thread_id,
            submit.run.run_id,
            self._house,
            accepted.stream,
            from_start=follow,
        )

    async def prepare(
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
        checkpoint_during: bool | None = None,
        follow: bool = True,
    ) -> Submit:
        """Make the message that starts a run on a thread, and check what is asked for.

        `assistant_id`: a UUID or a graph's name. `input`: a new turn; `command`: `resume`,
        `update`,
        `goto`, and outweighs `input`; neither: go on where the thread paused or failed.
        `stream_mode`: one or several of `values` (default), `updates`, `messages`,
        `messages-tuple`, `custom`, `tasks`, `checkpoints`, `debug`.
        `stream_resumable`: keep the events.
        `checkpoint`, `checkpoint_id`: go on from an older one. `interrupt_before`,
        `interrupt_after`: breakpoints of this run, or "*". `multitask_strategy`: what happens if
        the thread is busy: `enqueue` (default), `reject`, `interrupt` or `rollback`.
        `if_not_exists`: `reject` (default: NotFound) or `create` the thread. `durability`: `sync`
        waits for each checkpoint to be stored before the next super-step, `async` (default) does
        not, `exit` (or `checkpoint_during=False`) stores only the last one; whatever it is, the
        run's end is stored before it is told. `follow`: the events will be read from the first.

        Raises NotFound for an assistant, Invalid, Refused.
        """
        ident = check_uuid("thread_id", thread_id)
        assistant = await self._assistants.resolve(assistant_id)
        graph = self._house.graph(assistant.graph_id)
        strategy = check_choice(
            "multitask_strategy", multitask_strategy or DEFAULT_STRATEGY, STRATEGIES
        )
        if durability is None and checkpoint_during is False:
            durability = "exit"  # as it was called before
        check_choice("durability", durability or "async", get_args(Durability))
        create = check_choice("if_not_exists", if_not_exists or "reject", ("reject", "create"))
        settings, shown = _settings(assistant, config, context)
        settings["configurable"] |= _checkpoint(checkpoint, checkpoint_id)
        if command is not None:
            command_of(_object("command", command))
        now = self._house.world.timestamp()
        kwargs = {
            "input": None if input is None else _input(input, graph),
            "command": command,
            "config": settings,
            "context": shown,
            "stream_mode": list(check_modes(stream_mode)),
            "interrupt_before": _breakpoints("interrupt_before", interrupt_before),
            "interrupt_after": _breakpoints("interrupt_after", interrupt_after),
            "webhook": None,
            "feedback_keys": None,
            "temporary": False,
            "subgraphs": stream_subgraphs,
            "resumable": stream_resumable,
            "checkpoint_during": checkpoint_during,
            "durability": durability or "async",
        }
        kwargs = self._as_kept(kwargs)
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
        thread = new_thread(self._house, ident) if create == "create" else None
        return Submit(run, strategy, thread, follow)

    def _as_kept(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """What a run is asked to do, as it would be after a restart. Raises Invalid."""
        types = self._house.session.storage.types
        try:
            data, unknown = kept(kwargs, "", types)
        except Unstorable as error:
            raise Invalid(str(error)) from error
        if not unknown:
            return kwargs
        types.tell(unknown, "a run's input or command")
        plain: dict[str, Any] = decode(data, types)
        return plain

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

    async def join(self, thread_id: str, run_id: str, *, raise_error: bool = True) -> Any:
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


def _checkpoint(checkpoint: Mapping[str, Any] | None, checkpoint_id: str | None) -> dict[str, Any]:
    """What a config says of the checkpoint to go on from; one of an inner graph says where those
    around it were."""
    given = (checkpoint or {}).get("checkpoint_id") or checkpoint_id
    if given is None:
        return {}
    own: dict[str, Any] = {"checkpoint_id": check_uuid("checkpoint_id", given)}
    if checkpoint is not None and checkpoint.get("checkpoint_ns"):
        ids = check_mapping("checkpoint.checkpoint_map", checkpoint.get("checkpoint_map"))
        own["checkpoint_ns"] = str(checkpoint["checkpoint_ns"])
        own["checkpoint_map"] = {
            ns: check_uuid(f"checkpoint.checkpoint_map[{ns!r}]", ident) for ns, ident in ids.items()
        }
    return own


def _input(given: Any, graph: CompiledStateGraph) -> Any:
    return isolated(given) if graph.topology.whole else _object("input", given)


def _object(name: str, given: Any) -> dict[str, Any]:
    """What may hold any value that can be stored."""
    if not isinstance(given, Mapping):
        raise Invalid(f"{name}: {given!r} is not an object")
    return dict(given)


def _breakpoints(name: str, given: str | Sequence[str] | None) -> str | list[str] | None:
    if given is None or given == "*":
        return given
    is_list = isinstance(given, Sequence) and not isinstance(given, str)
    if not is_list or not all(isinstance(node, str) for node in given):
        raise Invalid(f"{name}: {given!r} is neither '*' nor a list of node names")
    return list(given)


def _cancels(on_disconnect: str | None) -> bool:
    given = on_disconnect or "continue"
    return bool(check_choice("on_disconnect", given, ("cancel", "continue")) == "cancel")


def _raised(result: Any, raise_error: bool) -> Any:
    error = result.get("__error__") if isinstance(result, dict) else None
    if raise_error and error is not None:
        raise RunFailed(error["error"], error["message"])
    return result
