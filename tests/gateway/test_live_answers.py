"""Answers that last as long as a run, driven by a server of the test's own, on its own clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import attrs
import msgspec
import pytest
import trio
import trio.testing
from starlette.types import Message

from greenroom.actors import Closed, StreamPart
from greenroom.gateway import sse
from greenroom.gateway.sse import EventStream, LiveAnswers, RunResult

Result = Callable[[], Awaitable[Any]]


@attrs.define
class Exchange:
    """A server's end of a request: what it was sent, and whether the client has left."""

    sent: list[Message] = attrs.field(factory=list)
    left: trio.Event = attrs.field(factory=trio.Event)

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def carry(self, answer: RunResult | EventStream) -> None:
        await answer({"type": "http"}, self.receive, self.send)

    @property
    def body(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:] if message["body"]]

    @property
    def complete(self) -> bool:
        return "body" in self.sent[-1] and not self.sent[-1].get("more_body", False)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def result_after(seconds: float, result: Any) -> Result:
    async def wait() -> Any:
        await trio.sleep(seconds)
        if isinstance(result, Exception):
            raise result
        return result

    return wait


def run_result(result: Result, **more: Any) -> RunResult:
    return RunResult(live=more.pop("live", LiveAnswers()), headers={}, result=result, **more)


async def parts(*delays: float) -> AsyncGenerator[list[StreamPart], None]:
    for number, delay in enumerate(delays):
        await trio.sleep(delay)
        yield [StreamPart(number, "custom", b"%d" % number)]


def event_stream(events: AsyncGenerator[list[StreamPart], None], **more: Any) -> EventStream:
    live = more.pop("live", LiveAnswers())
    return EventStream(live=live, headers={}, events=events, with_ids=False, **more)


async def test_the_text_of_other_errors_of_tools_is_kept_from_clients(exchange: Exchange) -> None:
    async def failed() -> AsyncGenerator[list[StreamPart], None]:
        for name, kind in (("on_tool_error", "SecretError"), ("on_custom_event", "mine")):
            error = {"error": kind, "message": "db at 10.0.0.7"}
            event = {"event": name, "data": {"error": error}}
            yield [StreamPart(1, "events", msgspec.json.encode(event))]

    await exchange.carry(event_stream(failed()))

    tool, custom = exchange.body
    assert b"An internal error occurred" in tool
    assert b"10.0.0.7" not in tool
    assert b"db at 10.0.0.7" in custom  # what a node says on purpose


async def test_waiting_sends_a_newline_every_five_seconds(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    await exchange.carry(run_result(result_after(12, {"a": 1})))

    assert exchange.body == [b"\n", b"\n", b'{"a":1}']
    assert exchange.complete


async def test_a_stream_sends_a_comment_after_five_seconds_of_silence(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    await exchange.carry(event_stream(parts(4, 4, 11)))

    event = b"event: custom\r\ndata: %d\r\n\r\n"
    silence = b": heartbeat\r\n\r\n"
    assert exchange.body == [event % 0, event % 1, silence, silence, event % 2]
    assert exchange.complete


async def test_what_has_queued_up_is_sent_in_one_go(exchange: Exchange) -> None:
    async def all_at_once() -> AsyncGenerator[list[StreamPart], None]:
        yield [StreamPart(7, "values", b"{}"), StreamPart(8, "values|inner", b"[]")]

    stream = event_stream(all_at_once())
    stream.with_ids = True
    await exchange.carry(stream)

    first = b"event: values\r\ndata: {}\r\nid: 7\r\n\r\n"
    second = b"event: values|inner\r\ndata: []\r\nid: 8\r\n\r\n"
    assert exchange.body == [first + second]


async def test_a_long_backlog_is_sent_piece_by_piece(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MOST_AT_ONCE", 100)
    lengths = [10, 10, 10, 200, 10]

    async def all_at_once() -> AsyncGenerator[list[StreamPart], None]:
        yield [StreamPart(1, "custom", b"x" * length) for length in lengths]

    await exchange.carry(event_stream(all_at_once()))

    whole = b"".join(b"event: custom\r\ndata: %b\r\n\r\n" % (b"x" * n) for n in lengths)
    assert b"".join(exchange.body) == whole
    assert [piece.count(b"event") for piece in exchange.body] == [2, 1, 1, 1]


async def test_a_client_that_leaves_is_noticed_and_acted_upon(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    left_at = []

    async def on_leave() -> None:
        left_at.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        answer = run_result(result_after(60, {}), on_leave=on_leave)
        nursery.start_soon(exchange.carry, answer)
        await trio.sleep(2)
        exchange.left.set()
        started = trio.current_time()

    assert left_at == [started]
    assert not exchange.complete


async def test_a_client_that_stays_to_the_end_has_not_left(exchange: Exchange) -> None:
    async def on_leave() -> None:
        raise AssertionError("it is still here")

    await exchange.carry(run_result(result_after(0, {}), on_leave=on_leave))

    assert exchange.complete


async def test_a_stopping_server_leaves_answers_unfinished(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    async def on_leave() -> None:
        raise AssertionError("the client has not left, the server has")

    live = LiveAnswers()
    late = Exchange()
    async with trio.open_nursery() as nursery:
        stream = event_stream(parts(1, 60), live=live, on_leave=on_leave)
        nursery.start_soon(exchange.carry, stream)
        await trio.sleep(2)
        live.close(0)
        nursery.start_soon(late.carry, run_result(result_after(60, {}), live=live))
        started = trio.current_time()

    assert trio.current_time() == started + sse.SHORT
    assert exchange.body == [b"event: custom\r\ndata: 0\r\n\r\n"]
    assert not exchange.complete
    assert not late.complete


async def test_an_answer_whose_run_is_over_when_the_server_stops_is_finished(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    live, late = LiveAnswers(), Exchange()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.carry, run_result(result_after(1, {}), live=live))
        nursery.start_soon(late.carry, run_result(result_after(3, {}), live=live))
        await trio.testing.wait_all_tasks_blocked()
        live.close(2)

    assert exchange.complete
    assert not late.complete


async def test_a_runtime_that_shuts_down_leaves_answers_unfinished(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    await exchange.carry(run_result(result_after(1, Closed("the runtime was shut down"))))

    assert exchange.body == []
    assert not exchange.complete


async def test_an_answer_that_has_not_begun_says_that_the_runtime_shuts_down(
    exchange: Exchange,
) -> None:
    with pytest.raises(Closed):  # which is a 503
        await exchange.carry(run_result(result_after(0, Closed("the runtime was shut down"))))

    assert exchange.sent == []


async def test_a_result_that_is_there_at_once_is_a_plain_answer(exchange: Exchange) -> None:
    await exchange.carry(run_result(result_after(0, {"a": 1})))

    assert (b"content-length", b"7") in exchange.sent[0]["headers"]
    assert exchange.body == [b'{"a":1}']
