"""Clients have runs made by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import trio

from .determinism import BEGAN
from .posts import url_of
from .record import Dated
from .starting import Starting
from .witness import Witness

__all__ = ["Scheduling", "wait_for_crons"]

WAITS: Final = (1, 2, 4)  # seconds until a cron is due
LATEST: Final = 12  # seconds until those are over that nobody was told of
PATIENCE: Final = 100  # seconds for crons that could not fire to be tried again

# What crons say of their runs, as runs have it.
OF_RUNS: Final = ("input", "metadata", "durability", "stream_resumable", "stream_mode", "webhook")


class Scheduling(Starting):
    """Those who make crons, each with a single date."""

    __slots__ = ()

    async def _cron(self, thread_id: str) -> str:
        client, tag = await self._client(), self.simulation.new_tag()
        request = self._request(thread_id, tag)
        given: dict[str, Any] = {name: request[name] for name in OF_RUNS if name in request}
        given["multitask_strategy"] = self.random.choice(("enqueue", "interrupt", "rollback"))
        given |= self._once()
        self._witness.crons[tag] = None
        graph = self.simulation.graph_of(thread_id)
        if self.random.random() < 0.3:
            given["on_run_completed"] = self.random.choice(("keep", "delete"))
            cron = await client.crons.create(graph, **given)
        else:
            cron = await client.crons.create_for_thread(thread_id, graph, **given)
        if cron["next_run_date"] is not None:  # it was stored in time
            self._witness.crons[tag] = Dated(cron["cron_id"], cron["thread_id"])
        return tag

    async def _change_cron(self, thread_id: str) -> str:
        """Call off what a cron is to say: it is deleted, or switched off, or says something else,
        at another time."""
        client = await self._client()  # first: what is called off is nobody else's to change
        there = [tag for tag, cron in self._witness.crons.items() if cron is not None]
        if not there:
            return "there is none"
        tag, how = self.random.choice(there), self.random.choice(("deleted", "off", "other"))
        cron = self._witness.crons[tag]
        assert cron is not None
        other = self.simulation.new_tag()
        self._witness.crons |= {tag: None, other: None}
        date = None
        if how == "deleted":
            await client.crons.delete(cron.cron_id)
        elif how == "off":
            await client.crons.update(cron.cron_id, enabled=False)
        else:
            said = {"metadata": {"tag": other}, "input": {"log": [other], "text": other}}
            given = {**said, "webhook": url_of(other), **self._once()}
            date = (await client.crons.update(cron.cron_id, **given))["next_run_date"]
        self._witness.called_off.add(tag)
        if date is not None:
            self._witness.crons[other] = cron
        return f"{tag} is {how}, {other}" if how == "other" else f"{tag} is {how}"

    def _once(self) -> Mapping[str, str]:
        date = BEGAN + timedelta(seconds=int(trio.current_time()) + self.random.choice(WAITS))
        return {
            "schedule": f"{date.minute} {date.hour} {date.day} {date.month} * {date.second}",
            "end_time": (date + timedelta(seconds=0.5)).isoformat(),
        }


async def wait_for_crons(witness: Witness) -> None:
    """Until every cron has fired, or was refused, or is gone with its thread."""

    def left() -> list[str]:
        fired = {course.order.tag for course in witness.courses.values()}
        return [
            tag
            for tag, cron in witness.crons.items()
            if cron is not None
            and tag not in fired
            and cron.cron_id not in witness.refused
            and cron.thread_id not in witness.gone
        ]

    if witness.crons:
        await trio.sleep(LATEST)
    for _ in range(PATIENCE):
        if left():
            await trio.sleep(1)
    witness.check(not left(), f"{left()} were to be made by crons, and were not")
