"""What the API is, for programs and for people."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from greenroom.gateway.answers import Answer
from greenroom.gateway.errors import not_installed
from greenroom.gateway.fields import JsonObject
from greenroom.gateway.operation import Operations
from greenroom.gateway.responses import json_response

__all__ = ["routes"]

LIBRARY: Final = "openapi_ui_bundles"
FILES: Final = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
SCRIPT: Final = """
SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null})
"""
PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Greenroom</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>{SCRIPT}</script>
</body>
</html>
"""
# Nothing comes from elsewhere, whatever the page's script would like.
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'self' 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
    ]
)

routes = Operations()


@routes.add("GET", "/openapi.json", "Get this document", JsonObject)
async def openapi(request: Request) -> Response:
    server = request.scope.get("root_path") or "/"
    return json_response({**request.app.state.openapi(), "servers": [{"url": server}]})


@routes.add(
    "GET", "/docs", "Read this document", Answer("A page", media=["text/html"]), refuses=[404]
)
async def docs(request: Request) -> Response:
    if find_spec(LIBRARY) is None:
        return not_installed("docs")
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


async def file(request: Request) -> Response:
    name = request.path_params["name"]
    if find_spec(LIBRARY) is None:
        return not_installed("docs")
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(import_module(f"{LIBRARY}.swagger_ui").static_path / name)


routes.append(Route("/docs/{name}", file, include_in_schema=False))
