"""What is answered to the interrupts of a task: which question an answer is for, and its form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import attrs
import msgspec

from .checkpoint import PendingWrites
from .control import Interrupt
from .errors import InvalidAnswerError
from .jsonschema import json_schema
from .policies import default_cache_key
from .schema import is_state_type

__all__ = ["Answers", "as_response", "asker", "response_schema"]


@attrs.define(eq=False)
class Answers:
    """The answers that a task has had, for one attempt of its node.

    `given`: in the order in which they came. `asked`: keys of what was asked side by side, in a
    nursery of the node's own, whose order may be another one this time; None where the order tells.
    `waiting`: the questions that have no answer yet.
    """

    given: tuple[Any, ...] = ()
    asked: tuple[str | None, ...] = ()
    waiting: tuple[Interrupt, ...] = ()
    _free: list[int] = attrs.field(init=False)
    _raised: list[str] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._free = list(range(len(self.given)))

    @classmethod
    def of(
        cls,
        so_far: PendingWrites,
        own: Sequence[Interrupt] = (),
        new: Mapping[str, Any] = MappingProxyType({}),
    ) -> Answers:
        """What a task or a call has been answered, with what a resume brings to those of its
        questions that waited."""
        answered = [interrupt for interrupt in own if interrupt.id in new]
        alone = len(own) == 1
        earlier = so_far.asked or (None,) * len(so_far.resumes)
        return cls(
            (*so_far.resumes, *(new[interrupt.id] for interrupt in answered)),
            (*earlier, *(None if alone else _key(one.value) for one in answered)),
            tuple(interrupt for interrupt in own if interrupt.id not in new),
        )

    @property
    def record(self) -> dict[str, Any]:
        """As `PendingWrites` has them."""
        return {"resumes": self.given, "asked": self.asked if any(self.asked) else ()}

    def to(self, question: Any) -> Sequence[Any]:
        """The answer to a question; empty where there is none yet."""
        key = _key(question) if any(self.asked) else None
        mine = [at for at in self._free if self.asked[at] == key]
        for at in mine or [at for at in self._free if self.asked[at] is None]:
            self._free.remove(at)
            return (self.given[at],)
        return ()

    def ident(self, task_id: str, question: Any) -> str:
        """The id of a question that waits: the one it had, where it has been asked before."""
        before = [one for one in self.waiting if one.id not in self._raised]
        known = next((one.id for one in before if _key(one.value) == _key(question)), None)
        parts = [task_id, str(len(self.given) - len(self._free))]
        if self._raised:
            parts.append(str(len(self._raised)))
        ident = known or blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
        self._raised.append(ident)
        return ident

    def again(self) -> Answers:
        """The same, for another attempt."""
        return Answers(self.given, self.asked, self.waiting)


def asker(interrupt: Interrupt) -> str:
    """The id of the task or the call that asks."""
    return interrupt.ns[-1].rpartition(":")[2]


def _key(question: Any) -> str:
    try:
        return default_cache_key(question)
    except TypeError:
        return repr(question)


def response_schema(wanted: Any) -> Mapping[str, Any] | None:
    """What a response is to look like, as JSON Schema; `wanted`: a type, or that already."""
    if wanted is None or isinstance(wanted, Mapping):
        return wanted
    if is_state_type(wanted):
        return json_schema(wanted)
    return msgspec.json.schema(wanted)


def as_response(answer: Any, wanted: Any) -> Any:
    """An answer as the type that was asked for. Raises InvalidAnswerError where it does not fit."""
    if wanted is None or isinstance(wanted, Mapping):
        return answer
    if isinstance(wanted, type) and type(answer) is wanted:
        return answer
    try:
        if hasattr(wanted, "model_validate"):
            return wanted.model_validate(answer)
        return msgspec.convert(answer, wanted)
    except ValueError as error:
        name = getattr(wanted, "__name__", str(wanted))
        raise InvalidAnswerError(f"The answer {answer!r} is no {name}: {error}") from error
