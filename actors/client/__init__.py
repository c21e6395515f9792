"""The in-process client: the one implementation of every operation, with the surface of the
published Python SDK. The gateway calls it too."""

from __future__ import annotations

from ..supervisor import Supervisor
from .assistants import AssistantsClient
from .crons import CronsClient
from .handle import RunHandle
from .runs import RunsClient
from .store import StoreClient
from .threads import ThreadsClient

__all__ = [
    "AssistantsClient",
    "Client",
    "CronsClient",
    "RunHandle",
    "RunsClient",
    "StoreClient",
    "ThreadsClient",
]


class Client:
    """`client.threads`, `client.runs`, `client.assistants`, `client.crons`, `client.store`: as
    `langgraph_sdk.get_client()`'s, same arguments, same dictionaries; failures are exceptions of
    `greenroom.actors`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.assistants = AssistantsClient(supervisor)
        self.threads = ThreadsClient(supervisor)
        self.runs = RunsClient(supervisor, self.assistants)
        self.crons = CronsClient(supervisor, self.assistants)
        self.store = StoreClient(supervisor)
