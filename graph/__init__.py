"""State graphs on trio: nodes, super-steps, interrupts, checkpoints.

Names and meanings follow LangGraph, so that a graph module ports by its import lines. This package
knows nothing of threads as actors, of storage or of HTTP, and is useful alone.
"""

from .channels import BinaryOperatorAggregate, LastValue
from .chat import REMOVE_ALL_MESSAGES, MessagesState, add_messages
from .checkpoint import StateSnapshot
from .compiled import CompiledStateGraph
from .context import (
    RunnableConfig,
    Runtime,
    StreamWriter,
    get_config,
    get_runtime,
    get_stream_writer,
)
from .control import END, START, Command, Interrupt, RetryPolicy, Send, interrupt
from .errors import (
    AsyncioNodeError,
    EmptyInputError,
    GraphBubbleUp,
    GraphError,
    GraphInterrupt,
    GraphRecursionError,
    InvalidResumeError,
    InvalidUpdateError,
    NodeNotFoundError,
)
from .memory_store import InMemoryStore
from .saver import InMemorySaver
from .state import StateGraph
from .store import BaseStore, InvalidNamespaceError, Item, SearchItem

__all__ = [
    "END",
    "REMOVE_ALL_MESSAGES",
    "START",
    "AsyncioNodeError",
    "BaseStore",
    "BinaryOperatorAggregate",
    "Command",
    "CompiledStateGraph",
    "EmptyInputError",
    "GraphBubbleUp",
    "GraphError",
    "GraphInterrupt",
    "GraphRecursionError",
    "InMemorySaver",
    "InMemoryStore",
    "Interrupt",
    "InvalidNamespaceError",
    "InvalidResumeError",
    "InvalidUpdateError",
    "Item",
    "LastValue",
    "MessagesState",
    "NodeNotFoundError",
    "RetryPolicy",
    "RunnableConfig",
    "Runtime",
    "SearchItem",
    "Send",
    "StateGraph",
    "StateSnapshot",
    "StreamWriter",
    "add_messages",
    "get_config",
    "get_runtime",
    "get_stream_writer",
    "interrupt",
]
