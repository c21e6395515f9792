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
from .messages import emit_message
from .saver import InMemorySaver
from .state import StateGraph

__all__ = [
    "END",
    "REMOVE_ALL_MESSAGES",
    "START",
    "AsyncioNodeError",
    "BinaryOperatorAggregate",
    "Command",
    "CompiledStateGraph",
    "EmptyInputError",
    "GraphBubbleUp",
    "GraphError",
    "GraphInterrupt",
    "GraphRecursionError",
    "InMemorySaver",
    "Interrupt",
    "InvalidResumeError",
    "InvalidUpdateError",
    "LastValue",
    "MessagesState",
    "NodeNotFoundError",
    "RetryPolicy",
    "RunnableConfig",
    "Runtime",
    "Send",
    "StateGraph",
    "StateSnapshot",
    "StreamWriter",
    "add_messages",
    "emit_message",
    "get_config",
    "get_runtime",
    "get_stream_writer",
    "interrupt",
]
