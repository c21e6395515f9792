"""State graphs on trio: nodes, super-steps, interrupts, checkpoints.

Names and meanings follow LangGraph, so that a graph module ports by its import lines. This package
knows nothing of threads as actors, of storage or of HTTP, and is useful alone.
"""

from .cache import BaseCache, InMemoryCache
from .channels import (
    AnyValue,
    BinaryOperatorAggregate,
    EphemeralValue,
    LastValue,
    Topic,
    UntrackedValue,
)
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
from .control import (
    END,
    START,
    Command,
    Interrupt,
    Overwrite,
    RetryPolicy,
    Send,
    StateUpdate,
    interrupt,
)
from .errors import (
    AsyncioNodeError,
    EmptyInputError,
    GraphBubbleUp,
    GraphError,
    GraphInterrupt,
    GraphRecursionError,
    InvalidItemError,
    InvalidNamespaceError,
    InvalidResumeError,
    InvalidUpdateError,
    NodeError,
    NodeNotFoundError,
    NodeTimeoutError,
)
from .managed import IsLastStep, RemainingSteps
from .memory_store import InMemoryStore
from .messages import emit_message
from .policies import CachePolicy, TimeoutPolicy
from .saver import InMemorySaver
from .state import StateGraph
from .store import BaseStore, Item, SearchItem

__all__ = [
    "END",
    "REMOVE_ALL_MESSAGES",
    "START",
    "AnyValue",
    "AsyncioNodeError",
    "BaseCache",
    "BaseStore",
    "BinaryOperatorAggregate",
    "CachePolicy",
    "Command",
    "CompiledStateGraph",
    "EmptyInputError",
    "EphemeralValue",
    "ExecutionInfo",
    "GraphBubbleUp",
    "GraphError",
    "GraphInterrupt",
    "GraphRecursionError",
    "InMemoryCache",
    "InMemorySaver",
    "InMemoryStore",
    "Interrupt",
    "InvalidItemError",
    "InvalidNamespaceError",
    "InvalidResumeError",
    "InvalidUpdateError",
    "IsLastStep",
    "Item",
    "LastValue",
    "MessagesState",
    "NodeError",
    "NodeNotFoundError",
    "NodeTimeoutError",
    "Overwrite",
    "RemainingSteps",
    "RetryPolicy",
    "RunnableConfig",
    "Runtime",
    "SearchItem",
    "Send",
    "StateGraph",
    "StateSnapshot",
    "StateUpdate",
    "StreamWriter",
    "TimeoutPolicy",
    "Topic",
    "UntrackedValue",
    "add_messages",
    "emit_message",
    "get_config",
    "get_runtime",
    "get_store",
    "get_stream_writer",
    "interrupt",
]
