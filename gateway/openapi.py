"""The document of the API, in OpenAPI 3.1, made from the operations that are served."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import attrs
import msgspec

from .access import OPEN_PATH
from .answers import JSON, Answer, ErrorResponse
from .operation import Operation
from .parameters import Parameter

__all__ = ["openapi"]

REFUSALS: Final = {
    400: Answer("It cannot be done", ErrorResponse),
    401: Answer("The API key is missing, or is another", ErrorResponse),
    403: Answer("Pages of that origin may not call", ErrorResponse),
    404: Answer("It is not there", ErrorResponse),
    408: Answer("Not all of the body has come in time", ErrorResponse),
    409: Answer("It does not go with what is there", ErrorResponse),
    413: Answer("The body is too long", ErrorResponse),
    422: Answer("What was sent does not fit; it says the field and the value", ErrorResponse),
    429: Answer(
        "There is too much under way",
        ErrorResponse,
        headers={"Retry-After": "In how many seconds to try again"},
    ),
    503: Answer("The storage cannot be reached, or the server stops", ErrorResponse),
}
KEYS: Final = {
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


def openapi(
    operations: Sequence[Operation], graphs: Iterable[str], *, is_secured: bool
) -> dict[str, Any]:
    """The document. `graphs`: their names; `is_secured`: callers must show an API key."""
    writer = _Writer(is_secured)
    writer.components["schemas"] |= {
        "GraphName": {"type": "string", "enum": sorted(graphs)},
        "AssistantName": {
            "description": "The id of an assistant, or the name of the graph that it is of",
            "type": "string",
            "anyOf": [{"format": "uuid"}, {"$ref": "#/components/schemas/GraphName"}],
        },
    }
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = writer.operation(operation)
    modules = {_tag(one): sys.modules[one.endpoint.__module__] for one in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Greenroom",
            "summary": "Stateful agents, behind the LangGraph Agent Server's API",
            "version": version("greenroom"),
        },
        "tags": [
            {"name": name, "description": (module.__doc__ or "").partition("\n\n")[0]}
            for name, module in modules.items()
        ],
        "paths": paths,
        "components": writer.components,
        "security": [{name: []} for name in KEYS] if is_secured else [],
    }


@attrs.define
class _Writer:
    """Writes operations down. `components`: what they refer to, once each."""

    is_secured: bool
    components: dict[str, dict[str, Any]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.components = {"schemas": {}, "responses": {}}
        if self.is_secured:
            self.components["securitySchemes"] = KEYS

    def operation(self, operation: Operation) -> dict[str, Any]:
        tag = _tag(operation)
        written: dict[str, Any] = {
            "tags": [tag],
            "summary": operation.summary,
            "operationId": f"{tag.lower()}_{operation.endpoint.__name__}",
            "parameters": [_parameter(one) for one in operation.parameters],
        }
        if operation.description is not None:
            written["description"] = operation.description
        if operation.takes is not None:
            written["requestBody"] = {
                "required": True,
                "content": {JSON: {"schema": self._schema(operation.takes)}},
            }
        refuses = {*operation.refuses, 503}
        if self.is_secured and operation.path == OPEN_PATH:
            written["security"] = []
        elif self.is_secured:
            refuses.add(401)
        answers = {status: self._answer(one) for status, one in operation.answers.items()}
        answers |= {status: self._refusal(status) for status in refuses - answers.keys()}
        written["responses"] = {str(status): answers[status] for status in sorted(answers)}
        return written

    def _answer(self, answer: Answer) -> dict[str, Any]:
        text = {"type": "string"}
        return {
            "description": answer.text,
            "headers": {
                name: {"description": what, "schema": text} for name, what in answer.headers.items()
            },
            "content": {
                media: {"schema": self._schema(answer.shape)} if media == JSON else {}
                for media in answer.media
            },
        }

    def _refusal(self, status: int) -> dict[str, str]:
        name = HTTPStatus(status).phrase.replace(" ", "")
        if name not in self.components["responses"]:
            self.components["responses"][name] = self._answer(REFUSALS[status])
        return {"$ref": f"#/components/responses/{name}"}

    def _schema(self, shape: Any) -> dict[str, Any]:
        template = "#/components/schemas/{name}"
        (schema,), found = msgspec.json.schema_components([shape], ref_template=template)
        self.components["schemas"] |= found
        return schema


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    written = {"name": parameter.name, "in": parameter.place, "required": parameter.is_required}
    if "description" in schema:
        written["description"] = schema.pop("description")
    if parameter.default not in (attrs.NOTHING, None):
        schema["default"] = parameter.default
    return {**written, "schema": schema}


def _tag(operation: Operation) -> str:
    name = operation.endpoint.__module__.rpartition(".")[2]
    return name.upper() if len(name) == 3 else name.capitalize()
