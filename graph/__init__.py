"""State graphs on trio: nodes, super-steps, interrupts, checkpoints.

Names and meanings follow LangGraph, so that a graph module ports by its import lines. This package
knows nothing of threads as actors, of storage or of HTTP, and is useful alone.
"""

from .cache import BaseCache, InMemoryCache
from .channels import BinaryOperatorAggregate, LastValue
from .chat import REMOVE_ALL_MESSAGES, MessagesState, add_messages
from .checkpoint import StateSnapshot
from .compiled import CompiledStateGraph
from .context import (
    ExecutionInfo,
    RunnableConfig,
    Runtime,
    StreamWriter,
    get_config,
    get_runtime,
    get_store,
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
    NodeError,
    NodeNotFoundError,
    NodeTimeoutError,
)
from .memory_store import InMemoryStore
from .policies import CachePolicy, TimeoutPolicy
from .saver import InMemorySaver
from .state import StateGraph
from .store import BaseStore, InvalidNamespaceError, Item, SearchItem

__all__ = [
    "END",
    "REMOVE_ALL_MESSAGES",
    "START",
    "AsyncioNodeError",
    "BaseCache",
    "BaseStore",
    "BinaryOperatorAggregate",
    "CachePolicy",
    "Command",
    "CompiledStateGraph",
    "EmptyInputError",
    "ExecutionInfo",
    "GraphBubbleUp",
    "GraphError",
    "GraphInterrupt",
    "GraphRecursionError",
    "InMemoryCache",
    "InMemorySaver",
    "InMemoryStore",
    "Interrupt",
    "InvalidNamespaceError",
    "InvalidResumeError",
    "InvalidUpdateError",
    "Item",
    "LastValue",
    "MessagesState",
    "NodeError",
    "NodeNotFoundError",
    "NodeTimeoutError",
    "RetryPolicy",
    "RunnableConfig",
    "Runtime",
    "SearchItem",
    "Send",
    "StateGraph",
    "StateSnapshot",
    "StreamWriter",
    "TimeoutPolicy",
    "add_messages",
    "get_config",
    "get_runtime",
    "get_store",
    "get_stream_writer",
    "interrupt",
]
