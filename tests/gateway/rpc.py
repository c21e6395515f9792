"""JSON-RPC by hand."""

from __future__ import annotations

from typing import Any

import attrs
import httpx


@attrs.frozen
class Rpc:
    """Calls what lies at `path`; gives the status and the body of the answer."""

    http: httpx.AsyncClient
    path: str

    async def __call__(
        self, method: str, params: Any = None, *, headers: Any = None
    ) -> tuple[int, Any]:
        body = {"jsonrpc": "2.0", "id": 7, "method": method}
        if params is not None:
            body["params"] = params
        answer = await self.http.post(self.path, json=body, headers=headers)
        return answer.status_code, answer.json()


def error(answer: tuple[int, Any], ident: Any = 7) -> tuple[int, int, str]:
    """The status, and the code and the text of the error."""
    status, body = answer
    assert body["id"] == ident
    return status, body["error"]["code"], body["error"]["message"]


async def not_calls(http: httpx.AsyncClient, path: str) -> None:
    """What is no call is refused, and says why."""

    async def of(body: bytes) -> tuple[int, int, str]:
        answer = await http.post(path, content=body)
        return error((answer.status_code, answer.json()), ident=None)

    assert await of(b"") == (400, -32700, "broken JSON at line 1, column 1: Expecting value")
    assert await of(b"[" * 5000) == (400, -32700, "JSON nested deeper than 200 levels")
    assert (await of(b"\xff"))[:2] == (400, -32700)
    assert await of(b"null") == (400, -32600, "the body: expected object, got null")
    assert await of(b"[]") == (400, -32600, "the body: expected object, got []")
    for text in (
        '{"jsonrpc": "2.0", "id": 1}',
        '{"jsonrpc": "1.0", "id": 1, "method": "ping"}',
        '{"jsonrpc": "2.0", "id": null, "method": "ping"}',
        '{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}',
        '{"jsonrpc": "2.0", "id": 1, "result": {}}',
    ):
        assert (await of(text.encode()))[:2] == (400, -32600)
