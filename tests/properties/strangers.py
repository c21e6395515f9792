"""What Schemathesis does beyond its own: hooks that its configuration names."""

from __future__ import annotations

from typing import Any

import schemathesis

SOON = 0.001  # seconds


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Runs that start later start soon: nobody waits a hundred years for one."""
    for run in body if isinstance(body, list) else [body]:
        delay = run.get("after_seconds") if isinstance(run, dict) else None
        if isinstance(delay, int | float) and not isinstance(delay, bool) and delay > SOON:
            run["after_seconds"] = SOON
    return body


@schemathesis.check
def nothing_leaks(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """No answer shows the server from inside."""
    for trace in ("Traceback (most recent call last)", 'File "'):
        assert trace not in response.text, f"the answer says {trace!r}"
