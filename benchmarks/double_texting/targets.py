"""What is measured: this runtime in process, or any server that speaks the API, by its URL."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
from of_greenroom import talk
from wire import Wire

from greenroom.actors import Client, Conflict, Greenroom
from greenroom.storage import MemoryStorage, SqliteStorage

__all__ = ["OWN", "Reply", "Target", "Unexpected", "opened"]

# This project, by the name of a target: whether it is served over HTTP, and on which storage.
OWN = {
    "memory": (False, "memory"),
    "sqlite": (False, "sqlite"),
    "served-memory": (True, "memory"),
    "served-sqlite": (True, "sqlite"),
}
ASSISTANT = "talk"
FOLDER = Path(__file__).parent


class Unexpected(Exception):
    """A target answered what no round can go on with."""


@attrs.frozen
class Reply:
    """To a text. `status`: as in HTTP. `events`: name and data of each, to the end of its run."""

    status: int
    events: AsyncGenerator[tuple[str, Any], None]


class Target(Protocol):
    async def new_thread(self) -> str: ...

    async def text(
        self,
        thread: str,
        text: dict[str, Any],
        strategy: str | None,
        after_seconds: float | None = None,
    ) -> Reply:
        """Start a run and follow it. `strategy`: None for the target's default. `after_seconds`:
        when it is to start, at once by default."""
        ...

    async def cancel(self, thread: str, run: str) -> None:
        """Stop a run, and wait until it has stopped where the target can."""
        ...

    async def runs(self, thread: str) -> dict[str, str]:
        """The statuses of a thread's runs by their ids."""
        ...

    async def status(self, thread: str) -> str: ...

    async def log(self, thread: str) -> list[str]:
        """The state that the thread has come to."""
        ...


async def nothing() -> AsyncGenerator[tuple[str, Any], None]:
    return
    yield


@attrs.frozen
class InProcess:
    client: Client

    async def new_thread(self) -> str:
        thread: str = (await self.client.threads.create())["thread_id"]
        return thread

    async def text(
        self,
        thread: str,
        text: dict[str, Any],
        strategy: str | None,
        after_seconds: float | None = None,
    ) -> Reply:
        asked = _asked(strategy, after_seconds)
        try:
            handle = await self.client.runs.start(
                thread, ASSISTANT, input=text, stream_mode="custom", **asked
            )
        except Conflict:
            return Reply(409, nothing())

        async def events() -> AsyncGenerator[tuple[str, Any], None]:
            async for part in handle.parts():
                yield part.event, part.data

        return Reply(200, events())

    async def cancel(self, thread: str, run: str) -> None:
        await self.client.runs.cancel(thread, run, wait=True)

    async def runs(self, thread: str) -> dict[str, str]:
        return {run["run_id"]: run["status"] for run in await self.client.runs.list(thread)}

    async def status(self, thread: str) -> str:
        status: str = (await self.client.threads.get(thread))["status"]
        return status

    async def log(self, thread: str) -> list[str]:
        return _log(await self.client.threads.get_state(thread))


@attrs.frozen
class OverHttp:
    wire: Wire

    async def new_thread(self) -> str:
        thread: str = (await self._ask("POST", "/threads", {}))["thread_id"]
        return thread

    async def text(
        self,
        thread: str,
        text: dict[str, Any],
        strategy: str | None,
        after_seconds: float | None = None,
    ) -> Reply:
        body = {
            "assistant_id": ASSISTANT,
            "input": text,
            "stream_mode": ["custom"],
            "on_disconnect": "continue",
            **_asked(strategy, after_seconds),
        }
        answer = await self.wire.send("POST", f"/threads/{thread}/runs/stream", body)
        if answer.status != 200:
            await answer.read()
            return Reply(answer.status, nothing())
        return Reply(200, answer.events())

    async def cancel(self, thread: str, run: str) -> None:
        await self.wire.ask("POST", f"/threads/{thread}/runs/{run}/cancel?wait=1")

    async def runs(self, thread: str) -> dict[str, str]:
        found = await self._ask("GET", f"/threads/{thread}/runs")
        return {run["run_id"]: run["status"] for run in found}

    async def status(self, thread: str) -> str:
        status: str = (await self._ask("GET", f"/threads/{thread}"))["status"]
        return status

    async def log(self, thread: str) -> list[str]:
        return _log(await self._ask("GET", f"/threads/{thread}/state"))

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.wire.ask(method, path, body)
        if status != 200:
            raise Unexpected(f"{method} {path.split('/')[-1]}: {status} {str(answer)[:200]}")
        return answer


def _asked(strategy: str | None, after_seconds: float | None) -> dict[str, Any]:
    asked = {"multitask_strategy": strategy, "after_seconds": after_seconds}
    return {key: value for key, value in asked.items() if value is not None}


def _log(state: dict[str, Any]) -> list[str]:
    return list((state["values"] or {}).get("log", ()))


@asynccontextmanager
async def opened(name: str, url: str | None) -> AsyncIterator[Target]:
    """A target by its name in `OWN` or, a peer, by its URL."""
    if url is not None:
        async with over_http(url) as target:
            yield target
        return
    served, storage = OWN[name]
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "benchmark.db") if storage == "sqlite" else storage
        if served:
            with serving(place) as url:
                async with over_http(url) as target:
                    yield target
            return
        kept_in = MemoryStorage() if storage == "memory" else SqliteStorage(place)
        async with Greenroom({ASSISTANT: talk}, storage=kept_in) as room:
            yield InProcess(room.client)


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[Target]:
    wire = Wire(url)
    try:
        yield OverHttp(wire)
    finally:
        await wire.aclose()


@contextmanager
def serving(storage: str) -> Iterator[str]:
    """`greenroom serve` in a process of its own; yields its URL."""
    greenroom = str(Path(sys.executable).with_name("greenroom"))
    options = ("--port", "0", "--storage", storage, "--log-level", "error")
    command = [greenroom, "serve", "--config", str(FOLDER / "greenroom.json"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline().split()
            if not first:
                raise Unexpected("greenroom serve did not start")
            yield first[-1]
        finally:
            process.terminate()
