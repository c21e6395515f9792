"""What can be wrong with a request. The text says which field or id, and why."""

from __future__ import annotations

__all__ = [
    "Closed",
    "Conflict",
    "GreenroomError",
    "Invalid",
    "NotFound",
    "Refused",
    "RunFailed",
    "TooMany",
]


class GreenroomError(Exception):
    """Base of the errors that the runtime raises about requests."""


class NotFound(GreenroomError):
    """There is no thread, run, assistant or cron of that id."""


class Conflict(GreenroomError):
    """It cannot be done now: a strategy refuses it, an id is taken, or a run is in flight."""


class Invalid(GreenroomError):
    """A value that does not fit."""


class Refused(GreenroomError):
    """Well formed, but not possible as things stand."""


class TooMany(GreenroomError):
    """As many as there may be are there already; it may be tried again later."""


class Closed(GreenroomError):
    """The runtime was shut down before the answer was there."""

    def __init__(
        self, text: str = "The runtime was shut down; runs go on when it is started again"
    ) -> None:
        super().__init__(text)


class RunFailed(GreenroomError):
    """A run ended with an error.

    `error`: the type name of what was raised. `message`: its text.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.message = message
