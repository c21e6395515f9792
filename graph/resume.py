"""Which answers a resume gives to which questions. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .checkpoint import Saved, as_shown
from .control import Interrupt
from .errors import InvalidResumeError, UnknownInterruptError

__all__ = ["answers_again", "answers_of", "waiting"]

_INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")


def waiting(saved: Saved) -> tuple[Interrupt, ...]:
    """The questions that the tasks of a checkpoint wait on, in the order of its state."""
    idents = [planned.id for planned in as_shown(saved.checkpoint.next)]
    if saved.checkpoint.engine:
        # LangGraph's, which begins tasks of a command without planning them.
        idents += [ident for ident in saved.pending if ident not in idents]
    asked: dict[str, Interrupt] = {}
    for ident in idents:
        if ident in saved.pending:
            for one in saved.pending[ident].interrupts:
                asked.setdefault(one.id, one)  # a call asks the same as the task that makes it
    return tuple(asked.values())


def answers_of(
    resume: Any,
    waiting: Sequence[Interrupt],
    bound: Sequence[str] | None = None,
    *,
    strict: bool = False,
) -> tuple[Mapping[str, Any], str | None]:
    """Answers by interrupt id, of a `Command`'s `resume`, and a warning of what in it answers
    nothing.

    A dict whose keys are all interrupt ids answers those that it names; any other value answers the
    one question that waits. `bound`: the ids that waited when the resume was accepted; it answers
    none that was asked later. Answers to questions that do not wait (any more) are left out, so the
    result may be empty.

    Raises InvalidResumeError for a plain value where several questions wait. `strict`: raises
    UnknownInterruptError for that, and for what is for questions that do not wait; a plain value
    where none was asked is for none.
    """
    ids = [interrupt.id for interrupt in waiting]
    meant = ids if bound is None else bound
    try:
        given = _given(resume, meant)
    except InvalidResumeError as error:
        if strict:
            text = str(error)
            raise UnknownInterruptError(text, reason="ambiguous", pending_ids=ids) from None
        raise
    answers = {ident: answer for ident, answer in given.items() if ident in ids}
    idle = [ident for ident in (resume if _is_map(resume) else meant) if ident not in answers]
    if strict and idle:
        raise UnknownInterruptError(
            f"The resume is for interrupts that do not wait: {', '.join(idle)}",
            reason="not_pending",
            interrupt_ids=idle,
            pending_ids=ids,
        )
    if not answers:
        return answers, "The resume answers no interrupt that waits"
    warning = f"The resume answers interrupts that do not wait: {', '.join(idle)}"
    return answers, warning if idle else None


def answers_again(resume: Any, bound: Sequence[str] | None) -> Mapping[str, Any]:
    """The answers, by interrupt id, of a resume whose run is carried on: those that have been taken
    up in its outermost graph may not have come to the graphs inside yet."""
    return _given(resume, bound or ()) if resume is not None else {}


def _given(resume: Any, meant: Sequence[str]) -> dict[str, Any]:
    if _is_map(resume):
        return {ident: resume[ident] for ident in meant if ident in resume}
    if len(meant) > 1:
        raise InvalidResumeError(
            f"{len(meant)} interrupts wait ({', '.join(meant)}), so a plain resume value is "
            f"ambiguous; resume with {{interrupt id: value}}"
        )
    return dict.fromkeys(meant, resume)


def _is_map(resume: Any) -> bool:
    return (
        isinstance(resume, Mapping)
        and bool(resume)
        and all(isinstance(key, str) and _INTERRUPT_ID.fullmatch(key) for key in resume)
    )
