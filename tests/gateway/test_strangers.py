"""Whatever a stranger sends is answered by a status that blames the right one, with a reason.

Requests made at random, the same in every run, on a real socket. They are ruder than those of
`tests/properties/test_document.py`: broken JSON, and values that have caused trouble.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import pytest

from greenroom.actors import Greenroom
from greenroom.gateway import requests
from greenroom.gateway.app import _ROUTES
from greenroom.gateway.operation import Operation
from greenroom.graph import CompiledStateGraph
from greenroom.storage import SqliteStorage

from .conftest import NIL

REQUESTS = 30  # for each method of each route
RUN_FAILED = re.compile("run .{36} failed")
GRAPHS = ("abc", "ask", "fails", "talks", "program")

OPERATIONS = [route for some in _ROUTES.values() for route in some if isinstance(route, Operation)]

# Names of fields and of query parameters, and values that have caused trouble somewhere.
FIELDS = [
    "update",
    "resume",
    "goto",
    "node",
    "checkpoint_ns",
    "checkpoint_map",
    "recursion_limit",
    "configurable",
    "tags",
    *sorted(
        {
            field.name
            for shape in vars(requests).values()
            if isinstance(shape, type) and attrs.has(shape)
            for field in attrs.fields(shape)
        }
        | {parameter.name for operation in OPERATIONS for parameter in operation.parameters}
    ),
]
TEXTS = [
    *(
        "",
        " ",
        "a",
        "a.b",
        "a|b",
        "..",
        "/",
        "\\",
        "*",
        '"',
        "$",
        "$.a",
        "$eq",
        "%",
        "_",
        "-1",
        "0",
    ),
    *("\x00", "a\x00b", "\ud7ff", "\U0001f600", "e\u0301", "\u202e", "\r\nX: y", "x" * 5000),
    *("1e999", "NaN", "null", "true", "'; DROP TABLE threads; --", NIL, NIL.upper(), "__start__"),
    *("abc", "ask", "fails", "program", "values", "updates", "messages", "events", "__end__"),
    *("enqueue", "interrupt", "rollback", "create", "delete", "keep_latest", "idle", "created_at"),
]
NUMBERS = [0, 1, -1, 2, 1000, 1001, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**400]
FLOATS = [0.0, -0.0, 0.5, -1.5, 1e-320, 1e308]
BROKEN = [
    *(b"", b"null", b"[]", b"5", b'"x"', b"{", b"}", b"{]", b'{"a":}', b"{} {}", b"[" * 300),
    *(b"\xff\xfe", b"\x00", b"\xef\xbb\xbf{}", b'{"a":' * 300, b'{"a":1,"a":2}'),
    *(b'{"metadata":{"a":NaN}}', b'{"metadata":{"a":"\\ud800"}}', b'{"metadata":1e999}'),
]
IDS = [b"x", b"-1", b"0", b"9" * 30, b"\xb2", b"1.5"]


class Stranger:
    """Makes requests up. `known`: what is there, by the names of paths."""

    def __init__(self, seed: str, known: dict[str, str]) -> None:
        self.random = random.Random(seed)
        self.known = known

    def value(self, depth: int = 0) -> Any:
        pick = self.random.choice
        kind = self.random.randrange(9 if depth < 4 else 6)
        if kind < 2:
            return pick(TEXTS)
        if kind < 4:
            return pick(NUMBERS) if kind == 2 else pick(FLOATS)
        if kind < 6:
            return pick([None, True, False])
        if kind < 8:
            return self.object(depth + 1)
        return [self.value(depth + 1) for _ in range(self.random.randrange(4))]

    def object(self, depth: int = 0) -> dict[str, Any]:
        names = self.random.choices([*FIELDS, *TEXTS], [5] * len(FIELDS) + [1] * len(TEXTS), k=3)
        return {name: self.value(depth + 1) for name in names}

    def body(self) -> bytes:
        if self.random.random() < 0.2:
            return self.random.choice(BROKEN)
        body = self.object()
        if self.random.random() < 0.7:  # what most need, so that some get further
            likely = {
                "assistant_id": self.random.choice(GRAPHS),
                "thread_id": NIL,
                "thread_ids": [NIL],
                "input": {"log": [1]},
                "values": {"log": [1]},
                "checkpoint": {},
                "namespace": ["a"],
                "key": "a",
                "value": {},
                "if_not_exists": "create",
            }
            body = {**likely, **body}
        data = json.dumps(body).encode()
        if self.random.random() < 0.1:  # a byte of it is another
            at = self.random.randrange(len(data))
            data = data[:at] + bytes([self.random.randrange(256)]) + data[at + 1 :]
        return data

    def path(self, route: Operation) -> str:
        path = route.path
        for name in route.param_convertors:
            value = self.known[name] if self.random.random() < 0.7 else self.random.choice(TEXTS)
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        query = [
            f"{self.random.choice(FIELDS)}={quote(str(self.random.choice([*TEXTS, *NUMBERS])))}"
            for _ in range(self.random.randrange(4))
        ]
        return f"{path}?{'&'.join(query)}"

    def headers(self) -> dict[str, bytes]:
        if self.random.random() < 0.8:
            return {}
        return {"last-event-id": self.random.choice(IDS)}


@pytest.fixture
async def room(graphs: dict[str, CompiledStateGraph], tmp_path: Path) -> AsyncIterator[Greenroom]:
    async with Greenroom(graphs, storage=SqliteStorage(tmp_path / "strangers.db")) as room:
        yield room


async def what_is_there(http: httpx.AsyncClient) -> dict[str, str]:
    """The ids of a thread with a run that asks something, of an assistant and of a cron."""
    thread = f"/threads/{NIL}"
    assistant = (await http.post("/assistants", json={"graph_id": "ask"})).json()
    body = {"assistant_id": assistant["assistant_id"], "input": {"log": []}}
    await http.post(f"{thread}/runs/wait", json={**body, "if_not_exists": "create"})
    run, *_ = (await http.get(f"{thread}/runs")).json()
    state = (await http.get(f"{thread}/state")).json()
    cron = (await http.post("/runs/crons", json={**body, "schedule": "0 0 1 1 *"})).json()
    return {
        "cron_id": cron["cron_id"],
        "namespace": "inner",
        "name": "swagger-ui.css",
        "thread_id": NIL,
        "run_id": run["run_id"],
        "checkpoint_id": state["checkpoint"]["checkpoint_id"],
        "assistant_id": run["assistant_id"],
    }


async def test_no_request_is_the_servers_fault(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    for route, method in [(one, method) for one in OPERATIONS for method in sorted(one.methods)]:
        stranger = Stranger(f"{method} {route.path}", await what_is_there(http))
        for _ in range(REQUESTS):
            path, body = stranger.path(route), stranger.body()
            content = None if method in ("GET", "HEAD") else body
            request = http.build_request(method, path, content=content, headers=stranger.headers())
            answer = await http.send(request, stream=True)
            said = f"{method} {path} {body!r}: {answer.status_code}"
            try:
                assert answer.status_code < 500, said
                assert all(
                    record.exc_info is None or RUN_FAILED.fullmatch(record.getMessage())
                    for record in caplog.records
                ), said
                if answer.status_code >= 400 and method != "HEAD":
                    (detail,) = json.loads(await answer.aread()).items()
                    assert detail[0] == "detail", said
                    assert detail[1], said
            finally:
                await answer.aclose()
    assert (await http.get("/ok")).json() == {"ok": True}
