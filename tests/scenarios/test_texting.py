"""`merge`, `steer` and `debounce` by the published clients, which take the strategy as a string."""

from __future__ import annotations

from typing import Any

import pytest

from .server import Server
from .test_seed_flows import javascript, python, run


@pytest.mark.parametrize("client", [python, javascript])
def test_texts_that_come_while_the_first_is_answered_are_merged_or_steer_it(
    client: Any, server: Server
) -> None:
    _, report = run(client("texting"), server)
    one, two, three, four, five, six, seven = report.pop("runs")
    merge = ["read one", "did one", "answered one", "read three", "did three", "answered three"]
    steer = [*merge, "read four", "did four", "answered five"]
    assert report == {
        "refused": 409,  # the thread's own default
        "merge": merge,
        "merged": [[None, "success"], [three, "success"], [None, "success"]],
        "steer": steer,
        "steered": [[None, "success"], [four, "success"]],
        "invalid": 422,
        "debounce": [*steer, "read seven", "did seven", "answered seven"],
        "debounced": [[seven, "success"], [None, "success"]],
    }
    assert len({one, two, three, four, five, six, seven}) == 7
