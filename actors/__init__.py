"""Threads as actors: the runtime, its supervisor and the in-process client."""

from .client import Client, RunHandle
from .errors import Closed, Conflict, GreenroomError, Invalid, NotFound, Refused, RunFailed
from .events import StreamPart
from .in_thread import AsyncioClient, BlockingClient
from .runtime import Greenroom
from .ttl import CheckpointerConfig, ThreadTTLConfig

__all__ = [
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
    "StreamPart",
    "ThreadTTLConfig",
]
