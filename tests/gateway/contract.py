"""The document of the API as the judge of what a server takes and answers."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import datetime
from typing import Any

import attrs
import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

JSON = "application/json"
SCHEMA = "content/application~1json/schema"

formats = FormatChecker(["uuid"])


@formats.checks("date-time", ValueError)
def is_time(text: Any) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


@attrs.define
class Contract:
    """`succeeded`: the ids of operations that were answered as they are when all goes well."""

    document: dict[str, Any]
    succeeded: set[str] = attrs.field(factory=set)
    _registry: Registry[Any] = attrs.field(init=False)
    _validators: dict[str, Draft202012Validator] = attrs.field(init=False, factory=dict)

    @_registry.default
    def _both(self) -> Registry[Any]:
        """The document, and one whose schemas have no keys but those it knows."""
        closed = deepcopy(self.document)
        for schema in closed["components"]["schemas"].values():
            if "properties" in schema:
                schema["additionalProperties"] = False
        documents = {"urn:open": self.document, "urn:closed": closed}
        return Registry().with_resources(
            (name, DRAFT202012.create_resource(one)) for name, one in documents.items()
        )

    @property
    def operations(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By method and path."""
        return {
            (method.upper(), path): operation
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
        }

    async def check(self, answer: httpx.Response) -> None:
        """Raises AssertionError for an answer that is not in the document, ValidationError for one
        that is other than that says, and for a body that was taken and does not fit it."""
        template = self._template(answer.request)
        if template is None or answer.status_code == 500:
            return
        method, status = answer.request.method, str(answer.status_code)
        said = f"{method} {template} is answered {status}"
        operation = self.operations[method, template]
        assert status in operation["responses"], said
        where = f"/paths/{template.replace('/', '~1')}/{method.lower()}"
        place = f"{where}/responses/{status}"
        documented = operation["responses"][status]
        if "$ref" in documented:
            place = documented["$ref"].removeprefix("#")
            documented = self.document["components"]["responses"][place.rpartition("/")[2]]
        missing = [name for name in documented["headers"] if name not in answer.headers]
        assert missing in ([], ["X-Pagination-Next"]), f"{said} without {missing}"
        media = answer.headers.get("content-type", "").partition(";")[0]
        assert media in (documented["content"] or [""]), f"{said} as {media}"
        if media == JSON and "content-length" in answer.headers:  # the others take their time
            self._fits(await answer.aread(), f"urn:closed#{place}/{SCHEMA}")
        if answer.is_success:
            self.succeeded.add(operation["operationId"])
            if "requestBody" in operation:
                self._fits(answer.request.content, f"urn:open#{where}/requestBody/{SCHEMA}")

    def _template(self, request: httpx.Request) -> str | None:
        """The path in the document of what is asked."""
        for template, item in self.document["paths"].items():
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), request.url.path):
                return template if request.method.lower() in item else None
        return None

    def _fits(self, body: bytes, schema: str) -> None:
        if schema not in self._validators:
            self._validators[schema] = Draft202012Validator(
                {"$ref": schema}, registry=self._registry, format_checker=formats
            )
        for error in self._validators[schema].iter_errors(json.loads(body)):
            raise AssertionError(f"{schema}: {error.json_path}: {error.message}")
