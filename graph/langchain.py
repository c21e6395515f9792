"""Chat models of langchain-core, heard while nodes call them. Imported only where that library is
in use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from .context import RunnableConfig
from .messages import TAG_NOSTREAM, Emit

__all__ = ["Listener", "heard"]

T = TypeVar("T")


def heard(config: RunnableConfig, emit: Emit) -> RunnableConfig:
    """`config` with a `Listener` among its callbacks."""
    listener = Listener(emit, config["metadata"]["langgraph_checkpoint_ns"])
    given = config.get("callbacks")
    callbacks: Any
    if isinstance(given, BaseCallbackManager):
        callbacks = given.copy()
        callbacks.add_handler(listener, inherit=True)
    else:
        callbacks = [*(given or ()), listener]
    return cast(RunnableConfig, {**config, "callbacks": callbacks})


class Listener(BaseCallbackHandler, _StreamingCallbackHandler[Any]):
    """Passes on what chat models called in one task say.

    Its second base is what makes `invoke` ask a model for its tokens one by one.
    """

    run_inline = True

    def __init__(self, emit: Emit, ns: str) -> None:
        self._emit = emit
        self._ns = ns
        self._models: dict[UUID, Mapping[str, Any]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        metadata = metadata or {}
        is_of_inner_graph = metadata.get("langgraph_checkpoint_ns", self._ns) != self._ns
        if is_of_inner_graph or TAG_NOSTREAM in (tags or ()):
            return
        own = [tag for tag in tags or () if not tag.startswith("seq:step")]
        self._models[run_id] = {**metadata, "tags": own} if own else metadata

    def on_llm_new_token(
        self,
        token: Any,
        *,
        chunk: Any = None,
        run_id: UUID,
        **kwargs: Any,
    ) -> None:
        if run_id in self._models and isinstance(chunk, ChatGenerationChunk):
            self._emit(chunk.message, self._models[run_id], False)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        metadata = self._models.pop(run_id, None)
        if metadata is None or not response.generations or not response.generations[0]:
            return
        answer = response.generations[0][0]
        if isinstance(answer, ChatGeneration):
            self._emit(answer.message, metadata, True)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._models.pop(run_id, None)

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[T]) -> AsyncIterator[T]:
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[T]) -> Iterator[T]:
        return output
