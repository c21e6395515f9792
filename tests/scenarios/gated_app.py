"""The example `langgraph_app` with a model that waits after a word while there is a file of that
name in the folder GATES.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from langchain_core.outputs import ChatGenerationChunk

from travel_agent.graph import build
from travel_agent.model import ScriptedModel

GATES = Path(os.environ["GATES"])


class GatedModel(ScriptedModel):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
            while (word := chunk.text.strip()) and (GATES / word).exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


graph = build(GatedModel()).compile()
