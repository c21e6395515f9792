"""The operations of the API: routes that say what they take and what they answer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import attrs
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .answers import Answer
from .errors import status_of
from .parameters import Parameter
from .requests import read
from .sse import OpenStream

__all__ = ["Operation", "Operations", "Resources"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[ASGIApp]])


class Operation(Route):
    """A route whose endpoint is given what it asks for: `request`, `body`, and by any other name
    an id in the path or a parameter of the query.

    What these are is read off its signature, so that what is documented is what is checked.
    """

    def __init__(
        self,
        method: str,
        path: str,
        summary: str,
        answer: Mapping[int, Any] | Any,
        endpoint: Callable[..., Awaitable[ASGIApp]],
        *,
        refuses: Collection[int] = (),
        takes: Any = None,
        is_live: bool = False,
    ) -> None:
        """`answer`: the type of the JSON of status 200, or these by status, where `Answer` says
        more. `refuses`: the statuses of requests that fit, and fail. `takes`: the body, of an
        endpoint that reads it by itself. `is_live`: the answer lasts as long as a run.
        """
        hints = get_type_hints(endpoint, include_extras=True)
        body = hints.get("body")

        @wraps(endpoint)
        async def call(request: Request) -> ASGIApp:
            arguments = {name: one.read(request) for name, one in parameters.items()}
            if body is not None:
                arguments["body"] = await read(request, body)
            return await endpoint(request, **arguments)

        self.middleware = [Middleware(OpenStream)] if is_live else []
        super().__init__(path, call, methods=[method], middleware=self.middleware)
        parameters = {
            name: Parameter.of(name, hints[name], _default(argument), self.param_convertors)
            for name, argument in inspect.signature(endpoint).parameters.items()
            if name not in ("request", "body")
        }
        answers = answer if isinstance(answer, Mapping) else {200: answer}
        self.method = method
        self.parameters = list(parameters.values())
        self.takes = takes if body is None else body
        self.answers = {
            status: one if isinstance(one, Answer) else Answer(shape=one)
            for status, one in answers.items()
        }
        self.refuses = {*refuses, *((429,) if is_live else ())}
        self.refuses |= {status_of(one.error) for one in self.parameters if one.may_misfit}
        if self.takes is not None:
            self.refuses |= {408, 413}
        if body is not None:
            self.refuses.add(422)
        self.summary = summary
        self.description = inspect.getdoc(endpoint)


class Resource(Route):
    """The operations of one path. Other methods are refused here, although a path with a parameter
    may fit as well."""

    def __init__(self, operations: Sequence[Route]) -> None:
        self._by_method = {
            method: operation for operation in operations for method in operation.methods or ()
        }
        first = operations[0]
        super().__init__(
            *(first.path, first.endpoint),
            methods=self._by_method,
            include_in_schema=first.include_in_schema,
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.NONE:
            return match, child
        operation = self._by_method.get(scope["method"], self)
        return Match.FULL, {**child, "endpoint": operation.endpoint}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._by_method.get(scope["method"])
        if operation is None:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(self._by_method))})
        await operation.handle(scope, receive, send)


class Resources(BaseRoute):
    """The resources of many routes, by their paths in the order in which these come first. Which
    one a request is for is found in one go, not by asking each of them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        by_path: dict[str, list[Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, []).append(route)
        self.routes = [Resource(some) for some in by_path.values()]
        paths = [re.sub(r"\(\?P<\w+>", "(?:", one.path_regex.pattern) for one in self.routes]
        self._which = re.compile("|".join(f"({path})" for path in paths))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = self._which.match(get_route_path(scope))
        if found is None or found.lastindex is None:
            return Match.NONE, {}
        resource = self.routes[found.lastindex - 1]
        match, child = resource.matches(scope)
        return match, {**child, "route": resource}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["route"].handle(scope, receive, send)


class Operations(list[Route]):
    """Routes, in the order in which they are tried."""

    def also_at(self, path: str) -> None:
        """Serve all that there is so far at another path too, which is not documented."""
        self += [
            Route(
                path,
                one.endpoint,
                methods=one.methods,
                middleware=one.middleware,
                include_in_schema=False,
            )
            for one in self
            if isinstance(one, Operation)
        ]

    def add(
        self, method: str, path: str, summary: str, answer: Any, **more: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """Decorates an endpoint; arguments as `Operation`."""

        def added(endpoint: Endpoint) -> Endpoint:
            self.append(Operation(method, path, summary, answer, endpoint, **more))
            return endpoint

        return added


def _default(argument: inspect.Parameter) -> Any:
    return attrs.NOTHING if argument.default is inspect.Parameter.empty else argument.default
