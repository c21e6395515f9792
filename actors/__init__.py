"""Threads as actors: the runtime, its supervisor and the in-process client."""

from .client import Client, RunHandle
from .errors import Closed, Conflict, GreenroomError, Invalid, NotFound, Refused, RunFailed
from .events import StreamPart
from .runtime import Greenroom

__all__ = [
    "Client",
    "Closed",
    "Conflict",
    "Greenroom",
    "GreenroomError",
    "Invalid",
    "NotFound",
    "Refused",
    "RunFailed",
    "RunHandle",
    "StreamPart",
]
