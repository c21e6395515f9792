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
from .chat import REMOVE_ALL_MESSAGES, MessagesState, add_messages, push_message
from .checkpoint import (
    Checkpointer,
    StateSnapshot,
)
from .checkpoint import (
    StateTask as PregelTask,
)
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
from .declared import register_type
from .errors import (
    AsyncioNodeError,
    AsyncioThreadDied,
    EmptyInputError,
    GraphBubbleUp,
    GraphError,
    GraphInterrupt,
    GraphRecursionError,
    InvalidAnswerError,
    InvalidItemError,
    InvalidNamespaceError,
    InvalidResumeError,
    InvalidUpdateError,
    NodeError,
    NodeNotFoundError,
    NodeTimeoutError,
    ParentCommand,
    UnknownInterruptError,
)
from .functional import entrypoint
from .job import (
    All,
    Durability,
)
from .managed import IsLastStep, RemainingSteps
from .memory_store import InMemoryStore
from .messages import (
    TAG_NOSTREAM,
    emit_message,
)
from .nodes import asyncio_node
from .parts import (
    CheckpointPayload,
    CheckpointStreamPart,
    CheckpointTask,
    CustomStreamPart,
    DebugPayload,
    DebugStreamPart,
    GraphOutput,
    MessagesStreamPart,
    StreamPart,
    TaskPayload,
    TaskResultPayload,
    TasksStreamPart,
    UpdatesStreamPart,
    ValuesStreamPart,
)
from .policies import CachePolicy, TimeoutPolicy
from .saver import InMemorySaver
from .state import StateGraph
from .steps import step
from .store import (
    BaseStore,
    Item,
    SearchItem,
    TTLConfig,
)
from .stream import (
    StreamMode,
)
from .tasks import task
from .ui import (
    AnyUIMessage,
    RemoveUIMessage,
    UIMessage,
    delete_ui_message,
    push_ui_message,
    ui_message_reducer,
)
from .vectors import IndexConfig

__all__ = [
    "END",
    "REMOVE_ALL_MESSAGES",
    "START",
    "TAG_NOSTREAM",
    "All",
    "AnyUIMessage",
    "AnyValue",
    "AsyncioNodeError",
    "AsyncioThreadDied",
    "BaseCache",
    "BaseStore",
    "BinaryOperatorAggregate",
    "CachePolicy",
    "CheckpointPayload",
    "CheckpointStreamPart",
    "CheckpointTask",
    "Checkpointer",
    "Command",
    "CompiledStateGraph",
    "CustomStreamPart",
    "DebugPayload",
    "DebugStreamPart",
    "Durability",
    "EmptyInputError",
    "EphemeralValue",
    "ExecutionInfo",
    "GraphBubbleUp",
    "GraphError",
    "GraphInterrupt",
    "GraphOutput",
    "GraphRecursionError",
    "InMemoryCache",
    "InMemorySaver",
    "InMemoryStore",
    "IndexConfig",
    "Interrupt",
    "InvalidAnswerError",
    "InvalidItemError",
    "InvalidNamespaceError",
    "InvalidResumeError",
    "InvalidUpdateError",
    "IsLastStep",
    "Item",
    "LastValue",
    "MessagesState",
    "MessagesStreamPart",
    "NodeError",
    "NodeNotFoundError",
    "NodeTimeoutError",
    "Overwrite",
    "ParentCommand",
    "PregelTask",
    "RemainingSteps",
    "RemoveUIMessage",
    "RetryPolicy",
    "RunnableConfig",
    "Runtime",
    "SearchItem",
    "Send",
    "StateGraph",
    "StateSnapshot",
    "StateUpdate",
    "StreamMode",
    "StreamPart",
    "StreamWriter",
    "TTLConfig",
    "TaskPayload",
    "TaskResultPayload",
    "TasksStreamPart",
    "TimeoutPolicy",
    "Topic",
    "UIMessage",
    "UnknownInterruptError",
    "UntrackedValue",
    "UpdatesStreamPart",
    "ValuesStreamPart",
    "add_messages",
    "asyncio_node",
    "delete_ui_message",
    "emit_message",
    "entrypoint",
    "get_config",
    "get_runtime",
    "get_store",
    "get_stream_writer",
    "interrupt",
    "push_message",
    "push_ui_message",
    "register_type",
    "step",
    "task",
    "ui_message_reducer",
]
