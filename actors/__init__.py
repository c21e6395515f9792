"""Threads as actors: the runtime, its supervisor and the in-process client."""

from .client import Client, RunHandle
from .errors import Closed, Conflict, GreenroomError, Invalid, NotFound, Refused, RunFailed, TooMany
from .events import StreamPart
from .in_thread import AsyncioClient, BlockingClient
from .logs import RunIds
from .runtime import MAX_QUEUED_RUNS, Greenroom
from .ttl import CheckpointerConfig, ThreadTTLConfig

__all__ = [
    "MAX_QUEUED_RUNS",
    "AsyncioClient",
    "BlockingClient",
    "CheckpointerConfig",
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
    "RunIds",
    "StreamPart",
    "ThreadTTLConfig",
    "TooMany",
]
