"""What LangGraph asks of every saver, by its own suite."""

from __future__ import annotations

import asyncio

from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from greenroom.storage.langgraph import BlockingSession, GreenroomSaver


def test_the_saver_conforms_in_full(new_storage):
    @checkpointer_test(name="greenroom")
    async def savers():
        with BlockingSession(new_storage()) as session:
            yield GreenroomSaver(session)

    report = asyncio.run(validate(savers))
    assert {name: result.failures for name, result in report.results.items()} == {
        capability.value: [] for capability in ALL_CAPABILITIES
    }
    assert all(result.passed for result in report.results.values())
    assert report.conformance_level() == "FULL"
