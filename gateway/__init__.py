"""How the outside speaks to a Greenroom: HTTP, server-sent events, configuration, command line."""

from __future__ import annotations

from .app import create_app
from .webhooks import URLPolicy, WebhookPoster

__all__ = ["URLPolicy", "WebhookPoster", "create_app"]
