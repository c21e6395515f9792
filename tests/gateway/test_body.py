"""Bodies as a server hands them over, piece by piece, on the test's own clock."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from starlette.types import Message, Receive, Scope, Send

from greenroom.gateway.body import WholeBody

PIECE: Message = {"type": "http.request", "body": b"x" * 10, "more_body": True}


async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application sees no body that is not whole")


@pytest.mark.parametrize(
    ("limit", "status", "text"),
    [
        (1000, 408, b"50 bytes of the body came in 4.5 s, and not the rest"),
        (49, 413, b"the body has 50 bytes and more; at most 49 are taken"),
    ],
)
async def test_what_comes_while_a_body_is_refused_is_read(
    autojump_clock: trio.testing.MockClock, limit: int, status: int, text: bytes
) -> None:
    # A server that cannot hand over what has come does not get to see that the client leaves.
    answer: list[Message] = []
    pieces, body = trio.open_memory_channel[Message](0)
    answered = trio.Event()

    async def client() -> None:
        while not answered.is_set():
            await pieces.send(PIECE)
            await trio.sleep(1)
        await pieces.send({"type": "http.disconnect"})

    async def send(message: Message) -> None:
        await trio.sleep(10)
        answer.append(message)
        if message["type"] == "http.response.body":  # all of it
            answered.set()

    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            app = WholeBody(nobody, limit=limit, timeout=4.5)
            await app({"type": "http", "method": "POST"}, body.receive, send)

    assert answer[0]["status"] == status
    assert text in answer[1]["body"]
