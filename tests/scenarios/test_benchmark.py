"""The benchmark of double-texting finds what is wrong, and says what it cannot measure."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from greenroom.actors import Greenroom
from greenroom.actors.multitask import STRATEGIES
from greenroom.storage import MemoryStorage

from .server import PROJECT, free_port

BENCHMARK = PROJECT / "benchmarks" / "double_texting"


def benchmark(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARK), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_every_strategy_comes_out_right_in_process_and_served(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    options = ("--threads", "2", "--rounds", "4", "--json", str(found))

    done = benchmark("sqlite", "served-memory", *options)

    assert (done.returncode, done.stderr) == (0, "")
    cells = json.loads(found.read_text())["cells"]
    measured = {(cell["target"], cell["strategy"]): cell["right"] for cell in cells}
    assert measured == {(t, s): 4 for t in ("sqlite", "served-memory") for s in STRATEGIES}
    # Of the others, what is left without the thought that they wait for may be nothing, and all may
    # have been too late to be counted.
    at_once = {"reject", "interrupt", "rollback"}
    assert all(cell["end"]["p50"] >= 0 for cell in cells if cell["end"] is not None)
    assert all(cell["end"]["p50"] > 0 for cell in cells if cell["strategy"] in at_once)


@pytest.mark.parametrize("name", ["peer=", ""])
def test_a_server_that_is_not_there_is_one_line(name: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = benchmark(f"{name}{url}")
    assert (done.returncode, done.stderr) == (2, "")
    [line] = done.stdout.splitlines()
    assert line.startswith(f"cannot be measured: {url}: ")


class Lying:
    """A target that is wrong in one way."""

    def __init__(self, target: Any, how: str) -> None:
        self.target = target
        self.how = how

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    async def text(
        self, thread: str, text: dict[str, Any], strategy: str | None, after_seconds: float | None
    ) -> Any:
        if self.how == "runs both" and strategy:
            thread = await self.target.new_thread()
        if self.how == "enqueues":
            strategy = None
        return await self.target.text(thread, text, strategy, after_seconds)

    async def log(self, thread: str) -> list[str]:
        log: list[str] = await self.target.log(thread)
        return {
            "forgets": log[1:],
            "repeats": [*log, log[-1]],
            "remembers": ["heard zero", *log],
        }.get(self.how, log)

    async def runs(self, thread: str) -> dict[str, str]:
        runs: dict[str, str] = await self.target.runs(thread)
        return dict.fromkeys(runs, "error") if self.how == "fails" else runs


@pytest.fixture
async def text_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """A round of a strategy, by default `interrupt`, on a target that is wrong in the way that is
    named."""
    monkeypatch.syspath_prepend(BENCHMARK)
    rounds, targets, graph = map(importlib.import_module, ("rounds", "targets", "of_greenroom"))
    async with Greenroom({"talk": graph.talk}, storage=MemoryStorage()) as room:
        right = targets.InProcess(room.client)
        yield lambda how, strategy="interrupt": rounds.texted_twice(Lying(right, how), strategy, 1)


@pytest.mark.parametrize(
    ("how", "faults"),
    [
        ("is right", set()),
        ("forgets", {"lost"}),
        ("repeats", {"duplicated"}),
        ("remembers", {"state"}),
        ("fails", {"status"}),
        ("runs both", {"lost", "status", "at once"}),
    ],
)
async def test_what_is_wrong_is_counted_by_its_kind(
    autojump_clock: MockClock,
    text_twice: Callable[[str], Awaitable[Any]],
    how: str,
    faults: set[str],
) -> None:
    assert set((await text_twice(how)).faults) == faults


@pytest.mark.parametrize("strategy", ["merge", "debounce", "steer"])
async def test_a_run_that_should_have_become_part_of_another_is_found_to_be_one_of_its_own(
    autojump_clock: MockClock, text_twice: Callable[..., Awaitable[Any]], strategy: str
) -> None:
    assert set((await text_twice("is right", strategy)).faults) == set()
    assert set((await text_twice("enqueues", strategy)).faults) == {"state"}


async def test_a_strategy_that_is_not_followed_fails_the_round(
    autojump_clock: MockClock, text_twice: Callable[[str], Awaitable[Any]]
) -> None:
    with pytest.raises(trio.TooSlowError):
        await text_twice("enqueues")
