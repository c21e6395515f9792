"""What runs came to, posted by HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from functools import partial
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any

import attrs
import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Greenroom, Invalid
from greenroom.actors.webhooks import ATTEMPTS, Undelivered
from greenroom.gateway import URLPolicy, WebhookPoster
from greenroom.graph import CompiledStateGraph
from greenroom.storage import MemoryStorage

from .conftest import chain, says

HERE = URLPolicy(disable_loopback=False)


@attrs.define
class Receiver:
    """A server that keeps what is posted to it, and answers `statuses`, then 200."""

    port: int = 0
    statuses: list[int] = attrs.field(factory=list)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    posts: list[tuple[dict[str, str], dict[str, Any]]] = attrs.field(factory=list)
    got: trio.MemorySendChannel[dict[str, Any]] = attrs.field(init=False)
    bodies: trio.MemoryReceiveChannel[dict[str, Any]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.got, self.bodies = trio.open_memory_channel(100)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, stream: trio.SocketStream) -> None:
        connection, body, head = h11.Connection(h11.SERVER), b"", {}
        async with stream:
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Request):
                    head = {name.decode(): value.decode() for name, value in event.headers}
                    head[":path"] = event.target.decode()
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    return
            status = self.statuses.pop(0) if self.statuses else 200
            headers = [*self.headers.items(), ("content-length", "0"), ("connection", "close")]
            answer = h11.Response(status_code=status, headers=headers)
            self.posts.append((head, json.loads(body)))
            await stream.send_all(connection.send(answer) or b"")
            self.got.send_nowait(json.loads(body))


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        receiver.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, receiver.serve, listeners)
        yield receiver
        nursery.cancel_scope.cancel()


@pytest.fixture
async def room(graphs: dict[str, CompiledStateGraph]) -> AsyncIterator[Greenroom]:
    poster = WebhookPoster(HERE, {"Authorization": "Bearer s3cret"})
    async with Greenroom(graphs, storage=MemoryStorage(), poster=poster) as room:
        yield room


class Names(trio.abc.HostnameResolver):
    """Names that mean what a test says; each look-up takes the next meaning."""

    def __init__(self, **meanings: list[list[str]]) -> None:
        self.meanings = meanings
        self.asked: list[str] = []

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # type: ignore[no-untyped-def]
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        meanings = self.meanings[name.partition(".")[0]]
        addresses = meanings.pop(0) if len(meanings) > 1 else meanings[0]
        if not addresses:
            raise OSError("there is no such name")
        inet = {4: trio.socket.AF_INET, 6: trio.socket.AF_INET6}
        return [
            (inet[ip_address(one).version], trio.socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]

    async def getnameinfo(self, sockaddr, flags):  # type: ignore[no-untyped-def]
        raise NotImplementedError


# What is posted.


async def test_a_run_that_pauses_posts_the_run_its_values_and_its_times(
    room: Greenroom, hook: Receiver
) -> None:
    thread_id = (await room.client.threads.create())["thread_id"]
    run = await room.client.runs.create(thread_id, "ask", input={"log": ["x"]}, webhook=hook.url)
    body = await hook.bodies.receive()

    assert body["status"] == "success"
    assert body["values"] == {"log": ["x"]}
    assert "error" not in body
    assert body["kwargs"]["webhook"] == hook.url
    stored = await room.client.runs.get(thread_id, run["run_id"])
    times = ("run_started_at", "run_ended_at", "webhook_sent_at")
    assert {name: body[name] for name in stored} == stored
    assert set(body) == {*stored, "values", *times}
    assert stored["created_at"] <= body[times[0]] <= body[times[1]] <= body[times[2]]
    [(head, _)] = hook.posts
    assert head["host"] == f"127.0.0.1:{hook.port}"
    assert (head[":path"], head["content-type"]) == ("/hook", "application/json")
    assert head["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("kind", "message"),
    [("told", "no such colour"), ("secret", "An internal error occurred")],
)
async def test_a_run_that_fails_posts_the_error_that_clients_are_shown(
    room: Greenroom, hook: Receiver, kind: str, message: str
) -> None:
    await room.client.runs.create(None, "fails", input={"log": [kind]}, webhook=hook.url)
    body = await hook.bodies.receive()
    assert body["status"] == "error"
    assert body["error"]["message"] == message
    assert body["values"] is None  # its thread is gone


async def test_a_run_that_never_started_posts_its_end(room: Greenroom, hook: Receiver) -> None:
    thread_id = (await room.client.threads.create())["thread_id"]
    run = await room.client.runs.create(
        thread_id, "abc", input={"log": ["x"]}, webhook=hook.url, after_seconds=60
    )
    await room.client.runs.cancel(thread_id, run["run_id"])
    body = await hook.bodies.receive()
    assert (body["status"], body["run_started_at"]) == ("interrupted", None)


@pytest.mark.parametrize("way", ["rollback", "delete"])
async def test_a_run_that_is_undone_posts_nothing(
    room: Greenroom, hook: Receiver, gate: Any, way: str
) -> None:
    thread_id = (await room.client.threads.create())["thread_id"]
    given: Any = {"input": {"log": []}, "webhook": hook.url}
    run = await room.client.runs.create(thread_id, "held", **given)
    await gate.reached.wait()
    if way == "rollback":
        await room.client.runs.cancel(thread_id, run["run_id"], wait=True, action="rollback")
    else:
        await room.client.runs.delete(thread_id, run["run_id"])
    last = await room.client.runs.create(thread_id, "abc", **given)
    assert (await hook.bodies.receive())["run_id"] == last["run_id"]


# Again and again.


async def test_what_is_not_taken_is_posted_again_with_longer_and_longer_waits(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    mock_clock.autojump_threshold = 0
    times: list[float] = []
    done = trio.Event()

    class Stubborn:
        async def check(self, url: str) -> None: ...

        async def post(self, url: str, body: dict[str, Any]) -> None:
            times.append(trio.current_time())
            if len(times) == ATTEMPTS:
                done.set()
            raise Undelivered("nobody listens") if len(times) % 2 else RuntimeError("a bug")

    async with Greenroom({"agent": chain(a=says("a"))}, poster=Stubborn()) as room:
        await room.client.runs.create(None, "agent", input={}, webhook="x")
        await done.wait()
        await trio.sleep(10_000)
    waits = [after - before for before, after in pairwise(times)]
    assert len(times) == ATTEMPTS
    assert all(2**n <= wait <= 2**n * 1.25 for n, wait in enumerate(waits))
    assert f"was not posted in {ATTEMPTS} attempts" in caplog.text


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429])
async def test_a_refusal_that_may_not_last_is_worth_another_try(
    hook: Receiver, status: int
) -> None:
    poster = WebhookPoster(HERE)
    hook.statuses.append(status)
    with pytest.raises(Undelivered, match=f"answered {status}"):
        await poster.post(hook.url, {})
    await poster.post(hook.url, {})


@pytest.mark.parametrize("status", [301, 307, 400, 404])
async def test_another_refusal_is_not_and_redirects_are_not_followed(
    hook: Receiver, status: int
) -> None:
    hook.statuses.append(status)
    hook.headers = {"location": hook.url}
    with pytest.raises(Invalid, match=f"answered {status}"):
        await WebhookPoster(HERE).post(hook.url, {})
    assert len(hook.posts) == 1


async def test_nobody_listening_is_worth_another_try(unused_port: int) -> None:
    with pytest.raises(Undelivered, match="ConnectError"):
        await WebhookPoster(HERE).post(f"http://127.0.0.1:{unused_port}/", {})


async def test_one_that_does_not_answer_is_left_after_a_while(autojump_clock: MockClock) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, silent, listeners)
        with pytest.raises(Undelivered, match=r"did not answer|Timeout"):
            await WebhookPoster(HERE).post(f"http://127.0.0.1:{port}/", {})
        nursery.cancel_scope.cancel()


@pytest.fixture
async def unused_port() -> int:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    await listener.aclose()
    return port


# Where it may go.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "localhost",
    ],
)
async def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    poster = WebhookPoster()
    for ask in (poster.check, partial(poster.post, body={})):
        with pytest.raises(Invalid, match="is not a public address"):
            await ask(f"http://{host}/")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[64:ff9b::808:808]"])
async def test_public_addresses_are_allowed(host: str) -> None:
    await WebhookPoster().check(f"https://{host}/")


async def test_a_name_is_refused_if_any_of_its_addresses_is() -> None:
    trio.socket.set_custom_hostname_resolver(Names(both=[["8.8.8.8", "10.0.0.1"]]))
    with pytest.raises(Invalid, match=r"10\.0\.0\.1 is not a public address"):
        await WebhookPoster().check("http://both.example/")


async def test_a_name_that_means_another_address_by_then_is_refused(hook: Receiver) -> None:
    names = Names(turns=[["8.8.8.8"], ["127.0.0.1"]])
    trio.socket.set_custom_hostname_resolver(names)
    poster, url = WebhookPoster(), f"http://turns.example:{hook.port}/"
    await poster.check(url)
    with pytest.raises(Invalid, match=r"127\.0\.0\.1 is not a public address"):
        await poster.post(url, {})
    assert hook.posts == []


async def test_a_name_is_looked_up_once_for_each_post(hook: Receiver) -> None:
    names = Names(turns=[["127.0.0.1"], ["127.0.0.2"]])
    trio.socket.set_custom_hostname_resolver(names)
    await WebhookPoster(HERE).post(f"http://turns.example:{hook.port}/hook?a=1", {"x": 1})

    [(head, body)] = hook.posts
    assert body == {"x": 1}
    assert head["host"] == f"turns.example:{hook.port}"
    assert head[":path"] == "/hook?a=1"
    assert names.asked == ["turns.example"]


async def test_the_next_address_is_tried_where_nobody_listens_at_one(hook: Receiver) -> None:
    trio.socket.set_custom_hostname_resolver(Names(two=[["127.0.0.9", "127.0.0.1"]]))
    await WebhookPoster(HERE).post(f"http://two.example:{hook.port}/", {})
    assert len(hook.posts) == 1


async def test_a_name_that_means_nothing_is_refused_and_tried_again_later() -> None:
    trio.socket.set_custom_hostname_resolver(Names(gone=[[]]))
    with pytest.raises(Invalid, match=r'"gone.example" cannot be resolved'):
        await WebhookPoster().check("http://gone.example/")
    with pytest.raises(Undelivered, match=r'"gone.example" cannot be resolved'):
        await WebhookPoster().post("http://gone.example/", {})


@pytest.mark.parametrize(
    ("rule", "url", "problem"),
    [
        ({}, "", "is no http or https URL"),
        ({}, "not a url", "is no http or https URL"),
        ({}, "/threads", "is no http or https URL"),
        ({}, "//8.8.8.8/", "is no http or https URL"),
        ({}, "ftp://8.8.8.8/", "is no http or https URL"),
        ({}, "http:///x", "is no http or https URL"),
        ({}, "http://8.8.8.8:x/", "is no URL"),
        ({"require_https": True}, "http://8.8.8.8/", "is no https URL"),
        ({"max_url_length": 20}, "http://8.8.8.8/" + "x" * 10, "longer than 20"),
        ({"allowed_ports": [443]}, "http://8.8.8.8/", "port 80 is none"),
        ({"allowed_domains": ["8.8.4.4"]}, "http://8.8.8.8/", "none of the hosts"),
        ({"allowed_domains": ["*.example.com"]}, "http://example.com/", "none of the hosts"),
        ({"allowed_domains": ["*.example.com"]}, "http://badexample.com/", "none of the hosts"),
        ({"allowed_domains": ["example.com"]}, "http://a.example.com/", "none of the hosts"),
    ],
)
def test_a_url_that_the_policy_does_not_allow_is_refused(
    rule: dict[str, Any], url: str, problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        URLPolicy(**rule).check_url(url)


def test_what_the_policy_allows() -> None:
    policy = URLPolicy(
        require_https=True,
        allowed_domains=["*.Example.com", "other.org"],
        allowed_ports=[443, 8443],
        allowed_networks=[ip_network("10.0.0.0/8")],
    )
    for url in ("https://a.b.example.com/", "https://OTHER.org:8443/x", "https://other.org./"):
        policy.check_url(url)
    policy.check_address(ip_address("10.1.1.1"))
    policy.check_address(ip_address("::ffff:10.1.1.1"))
    with pytest.raises(Invalid):
        policy.check_address(ip_address("192.168.0.1"))


async def test_without_a_way_to_post_webhooks_are_refused(
    graphs: dict[str, CompiledStateGraph],
) -> None:
    async with Greenroom(graphs) as room:
        with pytest.raises(Invalid, match="has no way to post"):
            await room.client.runs.create(None, "abc", input={}, webhook="https://8.8.8.8/")
        assert await room.client.threads.count() == 0


async def test_what_was_not_posted_yet_is_posted_by_the_next_process() -> None:
    storage, sent = MemoryStorage(), list[dict[str, Any]]()
    reached, done = trio.Event(), trio.Event()

    class Hanging:
        async def check(self, url: str) -> None: ...

        async def post(self, url: str, body: dict[str, Any]) -> None:
            reached.set()
            await trio.sleep_forever()

    class Working(Hanging):
        async def post(self, url: str, body: dict[str, Any]) -> None:
            sent.append({"url": url, **body})
            done.set()

    graphs = {"agent": chain(a=says("a"))}
    async with Greenroom(graphs, storage=storage, poster=Hanging()) as room:
        run = await room.client.runs.create(None, "agent", input={"log": []}, webhook="x://y")
        await reached.wait()
    async with Greenroom(graphs, storage=storage):
        assert [row["post_id"] for row in storage.scan_posts()] == [run["run_id"]]  # no poster
    async with Greenroom(graphs, storage=storage, poster=Working()):
        await done.wait()
        await wait_all_tasks_blocked()
        assert storage.scan_posts() == []
    assert [(one["url"], one["run_id"]) for one in sent] == [("x://y", run["run_id"])]
