"""Crons: runs that are made again and again, by the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, get_args

import attrs

from greenroom.storage import Storage
from greenroom.storage.operations import PutCron
from greenroom.storage.queries import CronQuery, CronSort
from greenroom.storage.records import Assistant, Cron

from ..crontab import due_after
from ..errors import Invalid, NotFound, Refused
from ..mailbox import Submit
from ..schedule import Schedule, iso
from ..supervisor import Supervisor
from ..views import CRON_FIELDS, cron_view
from .assistants import AssistantsClient
from .checks import (
    check_choice,
    check_descending,
    check_mapping,
    check_page,
    check_select,
    check_uuid,
    pick,
)
from .requests import submission

__all__ = ["CronsClient"]

# What a cron's payload says of its runs, and what of the cron itself.
_OF_RUNS: Final = {
    "input",
    "metadata",
    "config",
    "context",
    "interrupt_before",
    "interrupt_after",
    "multitask_strategy",
    "stream_mode",
    "stream_subgraphs",
    "stream_resumable",
    "durability",
    "checkpoint_during",
    "webhook",
}
_OWN: Final = {"assistant_id", "schedule", "timezone", "end_time", "enabled", "on_run_completed"}

Time = datetime | str


class CronsClient:
    """`client.crons`."""

    def __init__(self, supervisor: Supervisor, assistants: AssistantsClient) -> None:
        self._supervisor = supervisor
        self._assistants = assistants

    async def create(
        self,
        assistant_id: str,
        *,
        schedule: str,
        timezone: str | tzinfo | None = None,
        end_time: Time | None = None,
        enabled: bool | None = None,
        on_run_completed: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """Run an assistant again and again, each time on a new thread. Returns the cron.

        `assistant_id`: a UUID or a graph's name. `schedule`: a cron expression of five fields, or
        of six with the seconds last, or a name such as `@daily`, by the clock of `timezone`, an
        IANA name (default UTC).
        `end_time`: it does not fire after this; in UTC where no offset is given. `enabled`: whether
        it fires. `on_run_completed`: what becomes of the thread, `delete` (default) or `keep`.
        `metadata`: of the cron and of its runs. `input`, `config`, `context`, `interrupt_before`,
        `interrupt_after`, `multitask_strategy`, `stream_mode`, `stream_subgraphs`,
        `stream_resumable`, `durability`: of its runs, as in `client.runs.start`.

        Raises NotFound for an assistant, Invalid, Refused.
        """
        given = {
            "schedule": schedule,
            "timezone": timezone,
            "end_time": end_time,
            "enabled": enabled,
            "on_run_completed": on_run_completed,
            "metadata": metadata,
            **request,
        }
        return await self._create(None, assistant_id, given)

    async def create_for_thread(
        self,
        thread_id: str,
        assistant_id: str,
        *,
        schedule: str,
        timezone: str | tzinfo | None = None,
        end_time: Time | None = None,
        enabled: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """Run an assistant on a thread again and again. Returns the cron.

        Arguments as `create`. A run that the thread refuses (`multitask_strategy="reject"`) is left
        out. The cron is deleted with its thread. Raises NotFound also for the thread.
        """
        given = {
            "schedule": schedule,
            "timezone": timezone,
            "end_time": end_time,
            "enabled": enabled,
            "metadata": metadata,
            **request,
        }
        return await self._create(check_uuid("thread_id", thread_id), assistant_id, given)

    async def get(self, cron_id: str) -> dict[str, Any]:
        """A cron. Raises NotFound."""
        ident = check_uuid("cron_id", cron_id)
        cron = await self._supervisor.session.read(Storage.get_cron, ident)
        if cron is None:
            raise NotFound(f"Cron {ident!r} not found")
        return cron_view(cron)

    async def update(
        self,
        cron_id: str,
        *,
        end_time: Time | attrs.NothingType | None = attrs.NOTHING,
        **changes: Any,
    ) -> dict[str, Any]:
        """Change a cron; returns it. Arguments as `create`, but for the assistant.

        What is None stays as it is, but for `end_time`, where None is no end. `metadata` is merged
        on the top level. A cron whose `schedule`, `timezone` or `end_time` changes, or that is
        enabled again, is due at its first date after now. Raises NotFound, Invalid; Refused where
        there is nothing to change.
        """
        ident = check_uuid("cron_id", cron_id)
        changes = {name: value for name, value in changes.items() if value is not None}
        if end_time is not attrs.NOTHING:
            changes["end_time"] = end_time
        if not changes:
            raise Refused("There is nothing to change: give at least one field")
        async with self._supervisor.crontab.held(ident) as cron:
            if "metadata" in changes:
                merged = {**cron.metadata, **check_mapping("metadata", changes["metadata"])}
                changes["metadata"] = merged
            changed = await self._made(cron, {**cron.payload, **changes})
            turned_on = changed.enabled and not cron.enabled
            if turned_on or not changes.keys().isdisjoint({"schedule", "timezone", "end_time"}):
                changed = due_after(changed, self._supervisor.crontab.now())
            await self._supervisor.session.commit([PutCron(changed)])
        self._supervisor.crontab.heed()
        return cron_view(changed)

    async def delete(self, cron_id: str) -> None:
        """Delete a cron; runs that it has made stay. Raises NotFound."""
        await self._supervisor.crontab.drop(check_uuid("cron_id", cron_id))

    async def search(
        self,
        *,
        assistant_id: str | None = None,
        thread_id: str | None = None,
        enabled: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        sort_by: str | None = None,
        sort_order: str | None = None,
        select: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Crons, newest first; `metadata` at any depth."""
        check_page(limit, offset)
        fields = check_select(select, CRON_FIELDS)
        query = attrs.evolve(
            await self._query(assistant_id, thread_id, enabled, metadata),
            sort_by=check_choice("sort_by", sort_by or "created_at", get_args(CronSort)),
            descending=check_descending(sort_order),
            limit=limit,
            offset=offset,
        )
        found = await self._supervisor.session.read(Storage.search_crons, query)
        return [pick(cron_view(cron), fields) for cron in found]

    async def count(
        self,
        *,
        assistant_id: str | None = None,
        thread_id: str | None = None,
        enabled: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """How many crons fit."""
        query = await self._query(assistant_id, thread_id, enabled, metadata)
        return await self._supervisor.session.read(Storage.count_crons, query)

    async def fire(self, cron: Cron, along: PutCron) -> None:
        """Make the run of a cron that is due, and commit `along` together with it."""
        submit = await self._submission(cron, cron.payload)
        kwargs = submit.run.kwargs
        config = kwargs["config"]
        configurable = {**config["configurable"], "cron_id": cron.cron_id}
        kwargs = {**kwargs, "config": {**config, "configurable": configurable}}
        run = attrs.evolve(submit.run, kwargs=kwargs)
        await self._supervisor.ask(run.thread_id, attrs.evolve(submit, run=run, along=(along,)))

    async def _create(
        self, thread_id: str | None, assistant_id: str, given: dict[str, Any]
    ) -> dict[str, Any]:
        assistant = await self._assistant(assistant_id)
        if thread_id is not None:
            thread = await self._supervisor.session.read(Storage.get_thread, thread_id)
            if thread is None:
                raise NotFound(f"Thread {thread_id!r} not found")
        now = self._supervisor.crontab.now()
        blank = Cron(
            cron_id=self._supervisor.world.record_id(),
            assistant_id=assistant.assistant_id,
            thread_id=thread_id,
            schedule="",
            created_at=iso(now),
            updated_at=iso(now),
            payload={},
        )
        given = {name: value for name, value in given.items() if value is not None}
        payload = {**given, "assistant_id": assistant.assistant_id}
        cron = due_after(await self._made(blank, payload), now)
        await self._supervisor.session.commit([PutCron(cron)])
        self._supervisor.crontab.heed()
        return cron_view(cron)

    async def _made(self, cron: Cron, given: dict[str, Any]) -> Cron:
        """The cron as its payload asks for; it may have another date. Raises what `submission`
        does for a run that could not be made."""
        payload = dict(given)
        if unknown := payload.keys() - _OWN - _OF_RUNS:
            raise TypeError(f"Crons have no argument {min(unknown)!r}")
        if not isinstance(payload["schedule"], str):
            raise Invalid(f"schedule: {payload['schedule']!r} is not a cron expression")
        schedule = Schedule(payload["schedule"], _zone(payload.get("timezone")))
        schedule.check()
        end_time = _time("end_time", payload.get("end_time"))
        for name, value in (("timezone", schedule.zone), ("end_time", end_time)):
            payload.pop(name, None)
            if value is not None:
                payload[name] = value
        enabled = payload.get("enabled", True)
        if not isinstance(enabled, bool):
            raise Invalid(f"enabled: {enabled!r} is neither true nor false")
        # Means nothing to a cron on a thread, but is shown where it was given.
        completed = payload.get("on_run_completed", "delete" if cron.thread_id is None else None)
        if completed is not None:
            check_choice("on_run_completed", completed, ("delete", "keep"))
        # The payload is what a client sent, which a run gets as it would be after a restart.
        submit = await self._submission(cron, payload)
        if "input" in payload:
            payload["input"] = submit.run.kwargs["input"]
        return attrs.evolve(
            cron,
            schedule=schedule.expression,
            timezone=schedule.zone,
            end_time=end_time,
            enabled=enabled,
            on_run_completed=completed,
            metadata=check_mapping("metadata", payload.get("metadata")),
            payload=payload,
            updated_at=iso(self._supervisor.crontab.now()),
        )

    async def _submission(self, cron: Cron, payload: Mapping[str, Any]) -> Submit:
        request = {name: value for name, value in payload.items() if name in _OF_RUNS}
        if cron.thread_id is None:
            request["on_completion"] = cron.on_run_completed
        return await submission(
            *(self._supervisor, self._assistants, cron.thread_id, cron.assistant_id),
            follow=False,
            **request,
        )

    async def _assistant(self, assistant_id: str) -> Assistant:
        try:
            return await self._assistants.resolve(assistant_id)
        except Invalid as error:  # as the reference: it is not found, whatever it is
            raise NotFound(str(error)) from None

    async def _query(
        self,
        assistant_id: str | None,
        thread_id: str | None,
        enabled: bool | None,
        metadata: Mapping[str, Any] | None,
    ) -> CronQuery:
        if assistant_id is not None:
            named = assistant_id in self._supervisor.graphs
            assistant_id = (
                (await self._assistants.resolve(assistant_id)).assistant_id
                if named
                else check_uuid("assistant_id", assistant_id)
            )
        return CronQuery(
            assistant_id=assistant_id,
            thread_id=None if thread_id is None else check_uuid("thread_id", thread_id),
            enabled=enabled,
            metadata=check_mapping("metadata", metadata) or None,
        )


def _zone(given: str | tzinfo | None) -> str | None:
    """The name of a time zone."""
    name = given
    if isinstance(given, tzinfo):
        name = getattr(given, "key", None) or given.tzname(None)
    if name is not None and not isinstance(name, str):
        raise Invalid(f"timezone: {given!r} is not the name of a time zone")
    return name


def _time(name: str, given: Time | None) -> str | None:
    """A time in the form in which times are stored."""
    if given is None:
        return None
    time: object = given
    if isinstance(given, str):
        try:
            time = datetime.fromisoformat(given)
        except ValueError:
            time = None
    if not isinstance(time, datetime):
        raise Invalid(f"{name}: {given!r} is not a time in ISO 8601")
    try:
        return iso(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    except OverflowError:
        raise Invalid(f"{name}: {given!r} is out of range") from None
