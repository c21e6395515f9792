from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import httpx
import pytest

from .server import PROJECT, Server

GRAPHS = Path(__file__).with_name("graphs.py")


@pytest.fixture(scope="session")
def agent_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """`agent_server("weather.py:graph")` serves that example as `agent`, started once a session."""
    with ExitStack() as servers:

        @cache
        def serve(example: str) -> Server:
            server = Server(
                folder=tmp_path_factory.mktemp("agent"),
                graphs={"agent": f"{PROJECT}/examples/{example}"},
                env={"WEATHER_SECONDS": "4"},
            ).start()
            servers.callback(server.stop)
            return server

        yield serve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own, with the graphs of `graphs.py`."""
    names = ["gated", "questions", "buying", "buying_in_doubt", "remembers", "configured", "talks"]
    names += ["trips"]
    server = Server(folder=tmp_path, graphs={name: f"{GRAPHS}:{name}" for name in names}).start()
    yield server
    server.stop()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
