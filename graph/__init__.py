"""State graphs on trio: nodes, super-steps, interrupts, checkpoints.

Names and meanings follow LangGraph, so that a graph module ports by its import lines. This package
knows nothing of threads as actors, of storage or of HTTP, and is useful alone.
"""

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
    RunnableConfig,
    Runtime,
    StreamWriter,
    get_config,
    get_runtime,
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
    InvalidResumeError,
    InvalidUpdateError,
    NodeNotFoundError,
)
from .managed import IsLastStep, RemainingSteps
from .messages import emit_message
from .saver import InMemorySaver
from .state import StateGraph

__all__ = [
    "END",
    "REMOVE_ALL_MESSAGES",
    "START",
    "AnyValue",
    "AsyncioNodeError",
    "BinaryOperatorAggregate",
    "Command",
    "CompiledStateGraph",
    "EmptyInputError",
    "EphemeralValue",
    "GraphBubbleUp",
    "GraphError",
    "GraphInterrupt",
    "GraphRecursionError",
    "InMemorySaver",
    "Interrupt",
    "InvalidResumeError",
    "InvalidUpdateError",
    "IsLastStep",
    "LastValue",
    "MessagesState",
    "NodeNotFoundError",
    "Overwrite",
    "RemainingSteps",
    "RetryPolicy",
    "RunnableConfig",
    "Runtime",
    "Send",
    "StateGraph",
    "StateSnapshot",
    "StateUpdate",
    "StreamWriter",
    "Topic",
    "UntrackedValue",
    "add_messages",
    "emit_message",
    "get_config",
    "get_runtime",
    "get_stream_writer",
    "interrupt",
]
