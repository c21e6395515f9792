"""An application of LangGraph's, served as it is by `greenroom dev` in its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import PROJECT, Server
from .test_seed_flows import python, run

APP = PROJECT / "examples/langgraph_app"


@pytest.fixture
def app_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(folder=tmp_path, app=APP, options=["--no-reload"]).start()
    yield server
    server.stop()


def test_an_agent_streams_its_words_and_asks_before_it_books(app_server: Server) -> None:
    _, report = run(python("langgraph_app"), app_server)

    text = "TP573 flies to Lisbon for 180 euros."
    assert report == {
        "words": [*(f"{word} " for word in f"{text} Shall I book".split()), "it?"],
        "spoken in": "agent",
        "ran": ["agent", "tools", "agent"],
        "asked": [{"question": "Book TP573?"}],
        "refused": "The traveller does not want TP573: too dear",
        "waiting": [["tools"], "interrupted"],
        "booked": [
            ["human", "a flight to Lisbon, please"],
            ["ai", ""],
            ["tool", text],
            ["ai", f"{text} Shall I book it?"],
            ["human", "Please book TP573"],
            ["ai", ""],
            ["tool", "The traveller does not want TP573: too dear"],
            ["ai", "The traveller does not want TP573: too dear"],
            ["human", "book TP573 all the same"],
            ["ai", ""],
            ["tool", "TP573 is booked."],
            ["ai", "TP573 is booked."],
        ],
        "history": 15,
    }
    assert "Traceback" not in app_server.log.read_text()
