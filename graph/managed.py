"""Managed values: keys of the state that the run knows and nobody writes.

Names follow `langgraph.managed`. They are given to nodes and conditional edges, are in no
checkpoint and in no result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

__all__ = ["IsLastStep", "ManagedValue", "RemainingSteps"]


class ManagedValue(ABC):
    """What a key annotated with this class holds."""

    @staticmethod
    @abstractmethod
    def get(remaining: int) -> object:
        """`remaining`: the super-steps that are left to the run, the one at hand included."""


class RemainingStepsManager(ManagedValue):
    @staticmethod
    def get(remaining: int) -> int:
        return remaining


class IsLastStepManager(ManagedValue):
    @staticmethod
    def get(remaining: int) -> bool:
        return remaining == 1


RemainingSteps = Annotated[int, RemainingStepsManager]
"""Super-steps until the recursion limit: 1 in the last one."""

IsLastStep = Annotated[bool, IsLastStepManager]
"""Whether another super-step would go beyond the recursion limit."""
