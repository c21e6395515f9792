"""How the outside speaks to a Greenroom: HTTP, server-sent events, configuration, command line."""

from __future__ import annotations

from .app import create_app

__all__ = ["create_app"]
