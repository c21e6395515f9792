"""Runs: requests to a thread, waited for, streamed or left to themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final, get_args

import trio

from greenroom.storage import Storage
from greenroom.storage.records import UNFINISHED, Run, RunStatus

from ..errors import Conflict, Invalid, NotFound, RunFailed
from ..events import StreamPart
from ..mailbox import Attach, Cancel, DeleteRun
from ..supervisor import Supervisor
from ..views import RUN_FIELDS, run_view
from .assistants import AssistantsClient
from .checks import (
    check_choice,
    check_event_id,
    check_page,
    check_select,
    check_uuid,
    pick,
)
from .handle import RunHandle
from .requests import own_thread, submission

__all__ = ["RunsClient"]

_AT_ONCE: Final = 100  # threads that are woken to be told the same


class RunsClient:
    """`client.runs`."""

    def __init__(self, supervisor: Supervisor, assistants: AssistantsClient) -> None:
        self._supervisor = supervisor
        self._assistants = assistants

    async def create(
        self, thread_id: str | None, assistant_id: str, **request: Any
    ) -> dict[str, Any]:
        """Start a run and leave it to itself; returns the run. Arguments as `start`."""
        return (await self.start(thread_id, assistant_id, follow=False, **request)).run

    async def wait(
        self,
        thread_id: str | None,
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
        thread_id: str | None,
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
        self, thread_id: str | None, assistant_id: str, *, follow: bool = True, **request: Any
    ) -> RunHandle:
        """Start a run; when this returns it is durable and will be carried out.

        `thread_id`: None for a thread of the run's own, which is deleted with the run when it has
        ended, or stays if `on_completion` is `keep` (default `delete`). `assistant_id`: a UUID or a
        graph's name. `follow`: the events will be read from the first. More arguments, all by name:

        `input`: a new turn; `command`: `resume`, `update`, `goto`, and outweighs `input`; neither:
        go on where the thread paused or failed. `config`, `context`, `metadata`: the run's own.
        `checkpoint`, `checkpoint_id`: go on from an older one.
        `stream_mode`: one or several of `values` (default), `updates`, `messages`,
        `messages-tuple`, `custom`, `tasks`, `checkpoints`, `debug`, `events`. `stream_subgraphs`:
        events of inner graphs too. `stream_resumable`: keep the events.
        `interrupt_before`, `interrupt_after`: breakpoints of this run, or "*".
        `multitask_strategy`: what happens if the thread is busy: `enqueue`, `reject`, `interrupt`,
        `rollback`, `merge`, `debounce` (`merge` with a wait) or `steer`; by default what the
        metadata of the thread or else of the assistant has under this name, and then `enqueue`.
        `if_not_exists`: `reject` (default: NotFound) or `create` the thread. `after_seconds`: when
        to start; till then the run waits, and its thread is busy. Runs before it are stopped, or
        this one refused, at once. `durability`: `sync` waits for each checkpoint to be stored
        before the next super-step, `async` (default) does not, `exit` (or
        `checkpoint_during=False`) stores only the last one; whatever it is, the run's end is stored
        before it is told. `feedback_keys`: kept with the run. `webhook`: the URL that is posted
        what the run came to, unless it is rolled back or deleted. `strict_resume`: a `resume` that
        is for questions which do not wait (any more) fails its run with UnknownInterruptError and
        leaves the thread as it was, where otherwise (default) it answers nothing, with a warning.

        Raises NotFound, Conflict (`reject` on a busy thread; any run on the thread of a run that
        will be deleted with it), Invalid, Refused.
        """
        submit = await submission(
            self._supervisor, self._assistants, thread_id, assistant_id, follow=follow, **request
        )
        accepted = await self._supervisor.ask(submit.run.thread_id, submit)
        return RunHandle(accepted.run, self._supervisor, accepted.stream, from_start=follow)

    async def create_batch(self, payloads: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Start runs with threads of their own and leave them to themselves; returns the runs.

        `payloads`: the arguments of each, `assistant_id` among them, as `start`. One that does not
        fit is an error, and then none is started.
        """
        if not payloads:
            raise Invalid("payloads: names no run")
        submits = [
            await submission(self._supervisor, self._assistants, None, follow=False, **payload)
            for payload in payloads
        ]
        replies = [self._supervisor.send(submit.run.thread_id, submit) for submit in submits]
        return [run_view((await reply.wait()).run) for reply in replies]

    async def attach(self, thread_id: str | None, run_id: str) -> RunHandle:
        """A handle on a run that was started before. Raises NotFound.

        `thread_id`: None for a run that was started without one.
        """
        run = await self._find(thread_id, run_id)
        stream = None
        if run.status in UNFINISHED:
            stream = await self._supervisor.ask(run.thread_id, Attach(run.run_id))
            if stream is None:  # it has ended since it was read
                run = await self._find(thread_id, run_id)
        return RunHandle(run, self._supervisor, stream, from_start=False)

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

        found = await self._supervisor.session.read(read)
        if found is None:
            raise NotFound(f"Thread {ident!r} not found")
        return [pick(run_view(run), fields) for run in found]

    async def get(self, thread_id: str | None, run_id: str) -> dict[str, Any]:
        """A run. Raises NotFound. `thread_id`: as `attach`."""
        return run_view(await self._find(thread_id, run_id))

    async def join(self, thread_id: str | None, run_id: str, *, raise_error: bool = True) -> Any:
        """Wait until a run is over; returns the thread's newest values, raises as `wait`.

        `thread_id`: as `attach`.
        """
        return _raised(await (await self.attach(thread_id, run_id)).result(), raise_error)

    async def join_stream(
        self,
        thread_id: str | None,
        run_id: str,
        *,
        cancel_on_disconnect: bool = False,
        stream_mode: str | Sequence[str] | None = None,
        last_event_id: str | int | None = None,
    ) -> AsyncGenerator[StreamPart, None]:
        """Follow a run from now on or, a resumable one, from the event after `last_event_id` (0:
        all). `thread_id`: as `attach`.
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
        it. One that is part of another is stopped with that one.

        Returns when that is certain; with `wait`, when it has stopped. Raises NotFound for a run
        that is unknown or over; Conflict for `rollback` of one that is part of another, which goes
        back with that one only.
        """
        ident = check_uuid("thread_id", thread_id)
        run = check_uuid("run_id", run_id)
        check_choice("action", action, ("interrupt", "rollback"))
        stream = await self._supervisor.ask(ident, Cancel(run, action))  # type: ignore[arg-type]
        if wait:
            await stream.stopped()

    async def cancel_many(
        self,
        *,
        thread_id: str | None = None,
        run_ids: Sequence[str] | None = None,
        status: str | None = None,
        action: str = "interrupt",
    ) -> None:
        """Stop runs of a thread, or all that are `pending`, `running` or either (`all`).

        `action`: as in `cancel`. Those that are over, or not there, are passed over; NotFound where
        no other was asked for. Returns when it is certain that they will stop.
        """
        check_choice("action", action, ("interrupt", "rollback"))
        only: Any = None
        if status is not None:
            if thread_id is not None or run_ids is not None:
                raise Invalid("status: give either status, or thread_id and run_ids")
            check_choice("status", status, (*UNFINISHED, "all"))
            only = None if status == "all" else status
            runs = await self._supervisor.session.read(Storage.unfinished_runs)
            wanted = [(run.thread_id, run.run_id) for run in runs]
        elif thread_id is None or run_ids is None or isinstance(run_ids, str):
            raise Invalid("run_ids: give either status, or thread_id and run_ids, a list of ids")
        else:
            ident = check_uuid("thread_id", thread_id)
            wanted = [(ident, check_uuid("run_ids", one)) for one in run_ids]
        found = 0
        for start in range(0, len(wanted), _AT_ONCE):
            replies = [
                (one, self._supervisor.send(one[0], Cancel(one[1], action, only)))  # type: ignore[arg-type]
                for one in wanted[start : start + _AT_ONCE]
            ]
            for (ident, run_id), reply in replies:
                with suppress(NotFound):
                    try:
                        await reply.wait()
                    except Conflict:  # it was asked to go back before the run that answers it was
                        await self._supervisor.ask(ident, Cancel(run_id, action, only))  # type: ignore[arg-type]
                    found += 1
        if not found:
            raise NotFound("No run was found that could be cancelled")

    async def delete(self, thread_id: str, run_id: str) -> None:
        """Delete a run; one under way is stopped first. The state it left stays. Raises
        NotFound.
        """
        ident = check_uuid("thread_id", thread_id)
        await self._supervisor.ask(ident, DeleteRun(check_uuid("run_id", run_id)))

    async def _find(self, thread_id: str | None, run_id: str) -> Run:
        wanted = check_uuid("run_id", run_id)
        ident = own_thread(wanted) if thread_id is None else check_uuid("thread_id", thread_id)
        actor = await self._supervisor.awake(ident)
        run = None if actor is None else actor.runs.find(wanted)
        if run is not None:
            await trio.lowlevel.checkpoint()
            return run
        run = await self._supervisor.session.read(Storage.get_run, ident, wanted)
        if run is None:
            raise NotFound(f"Run {wanted!r} not found")
        return run


def _cancels(on_disconnect: str | None) -> bool:
    given = on_disconnect or "continue"
    return bool(check_choice("on_disconnect", given, ("cancel", "continue")) == "cancel")


def _raised(result: Any, raise_error: bool) -> Any:
    error = result.get("__error__") if isinstance(result, dict) else None
    if raise_error and error is not None:
        raise RunFailed(error["error"], error["message"])
    return result
