"""JSON-RPC 2.0, as the protocols that agents speak among themselves wrap what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, TypedDict

import attrs
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from .decoding import BrokenJson, DecodingError, decode, shown
from .responses import json_response

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = [
    "INVALID_PARAMS",
    "METHOD_NOT_FOUND",
    "Call",
    "RpcAnswer",
    "RpcError",
    "answered",
    "misfit",
    "read_call",
]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602

Id = str | int


@attrs.frozen(kw_only=True)
class Call:
    """What a client asks for; without an `id` it wants no answer."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Id | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET


class ErrorObject(TypedDict):
    code: int
    message: str
    data: NotRequired[Any]


class RpcAnswer(TypedDict):
    """The answer to a call: its result, or why there is none."""

    jsonrpc: Literal["2.0"]
    id: Id | None
    result: NotRequired[Any]
    error: NotRequired[ErrorObject]


class RpcError(Exception):
    """An error as the protocols say it. `status`: that of the HTTP answer."""

    def __init__(self, code: int, text: str, *, data: Any = None, status: int = 200) -> None:
        super().__init__(text)
        self.code = code
        self.data = data
        self.status = status

    def body(self, ident: Id | UnsetType = UNSET) -> dict[str, Any]:
        """The answer to the call of that id."""
        error = {"code": self.code, "message": str(self)}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": None if ident is UNSET else ident, "error": error}

    def response(self, ident: Id | UnsetType = UNSET) -> Response:
        return json_response(self.body(ident), status=self.status)


def read_call(body: bytes) -> Call:
    """The call in a request's body. Raises RpcError, with status 400."""
    try:
        return decode(body, Call)
    except BrokenJson as error:
        raise RpcError(PARSE_ERROR, str(error), status=400) from None
    except DecodingError as error:
        raise RpcError(INVALID_REQUEST, str(error), status=400) from None


def answered(call: Call, result: Mapping[str, Any]) -> dict[str, Any]:
    """A result, as the answer to its call."""
    return {"jsonrpc": "2.0", "id": call.id, "result": result}


def misfit(error: ValidationError) -> str:
    """The first of what does not fit a protocol's type: the field, and the value."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{where}: required, and missing"
    return f"{where}: {first['msg']}, got {shown(first['input'])}"
