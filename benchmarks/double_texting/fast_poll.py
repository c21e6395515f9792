"""The graph for the reference server, and its queue asked every 2 ms rather than twice a second.

As shipped, nearly all of a run's time there is that wait; without it the rest can be compared.
"""

import asyncio

import langgraph_runtime_inmem.ops
from of_langgraph import talk

__all__ = ["talk"]


class _Impatient:
    def __getattr__(self, name):
        return getattr(asyncio, name)

    @staticmethod
    def sleep(delay, *result):
        return asyncio.sleep(0.002 if delay == 0.5 else delay, *result)


langgraph_runtime_inmem.ops.asyncio = _Impatient()
