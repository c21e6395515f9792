"""A chat in React, by the published hook `useStream`, in a browser and on a page of another origin
than the server's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import GRAPHS
from .server import PROJECT, Server, free_port
from .test_seed_flows import CLIENTS, javascript, run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> str:
    if not (CLIENTS / "node_modules/playwright-core").exists():
        pytest.skip("Playwright is not installed (make javascript)")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)}")


@pytest.fixture(scope="module")
def page_port() -> int:
    """Where the page will be served."""
    return free_port()


@pytest.fixture(scope="module")
def chat_server(
    browser: str, page_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    server = Server(
        folder=tmp_path_factory.mktemp("chat"),
        graphs={"talks": f"{GRAPHS}:talks"},
        http={"cors": {"allow_origins": [f"http://127.0.0.1:{page_port}"]}},
    ).start()
    yield server
    server.stop()


every_sdk = pytest.mark.parametrize("sdk", ["@langchain/langgraph-sdk", "langgraph-sdk-1"])


@every_sdk
def test_a_chat_streams_is_rejoined_answered_edited_and_stopped(
    sdk: str, browser: str, page_port: int, chat_server: Server, tmp_path: Path
) -> None:
    arguments = [browser, str(page_port), sdk, str(tmp_path)]
    _, report = run([*javascript("chat"), *arguments], chat_server)

    assert report == {
        "streamed": ["one", "two", "three", "four"],
        "answered": ["ask", "so this"],
        "asked": 0,
        "edited": ["hello", "hello"],
        "before": ["ask", "so this"],
        "stopped": "interrupted",
        "here": 200,
        "elsewhere": "refused",
        "problems": [],
    }


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def travel_server(
    browser: str, page_port: int, gates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    server = Server(
        folder=tmp_path_factory.mktemp("travel"),
        graphs={"agent": f"{GRAPHS.with_name('gated_app.py')}:graph"},
        dependencies=[str(PROJECT / "examples/langgraph_app")],
        env={"GATES": str(gates)},
        http={"cors": {"allow_origins": [f"http://127.0.0.1:{page_port}"]}},
    ).start()
    yield server
    server.stop()


@every_sdk
def test_a_chat_with_an_agent_of_langgraphs_streams_is_rejoined_asks_and_is_interrupted(
    sdk: str, browser: str, page_port: int, travel_server: Server, gates: Path
) -> None:
    arguments = [browser, str(page_port), sdk, str(gates)]
    _, report = run([*javascript("travel"), *arguments], travel_server)

    lisbon, oslo = "TP573 flies to Lisbon for 180 euros.", "SK1486 flies to Oslo for 240 euros."
    answered = ["to Lisbon", "", lisbon, f"{lisbon} Shall I book it?"]
    booked = [*answered, "book TP573", "", "TP573 is booked.", "TP573 is booked."]
    texted = ["to Oslo", "", oslo, *answered]
    assert report == {
        "booked": booked,
        "asked": 0,
        "reloaded": booked,
        "texted": texted,
        "statuses": ["success", "interrupted"],
        "kept": texted,
        "problems": [],
    }
