"""A graph of LangGraph's as it is run here."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.pregel._checkpoint import channels_from_checkpoint, empty_checkpoint
from langgraph.store.base import BaseStore

from .factories import AnyPregel

__all__ = ["empty_values", "prepared"]

_empty: Final[WeakKeyDictionary[AnyPregel, Mapping[str, Any]]] = WeakKeyDictionary()


def prepared(
    graph: AnyPregel, saver: BaseCheckpointSaver[int], store: BaseStore | None = None
) -> AnyPregel:
    """The graph with our checkpointer and store, whatever it was compiled with."""
    own = copy.copy(graph)
    own.checkpointer = saver
    if store is not None:
        own.store = store
    if any(isinstance(channel, DeltaChannel) for channel in graph.channels.values()):
        # The log stores what changed by itself, so that each checkpoint may have the whole value.
        own.channels = {name: _whole(channel) for name, channel in graph.channels.items()}
    return own


def _whole(channel: Any) -> Any:
    if not isinstance(channel, DeltaChannel):
        return channel
    channel = copy.copy(channel)
    channel.snapshot_frequency = 1
    return channel


def empty_values(graph: AnyPregel) -> Mapping[str, Any]:
    """What keys of the state have that nothing was written to, found out once for each graph. Not
    to be changed."""
    if graph not in _empty:
        channels, _ = channels_from_checkpoint(graph.channels, empty_checkpoint())
        _empty[graph] = {
            name: channel.get()
            for name in graph.stream_channels_list
            if (channel := channels.get(name)) is not None
            and channel.is_available()
            and not isinstance(channel, DeltaChannel)
        }
    return _empty[graph]
