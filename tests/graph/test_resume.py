"""Which questions a resume answers, when it was accepted before it is run."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.graph import Interrupt, InvalidResumeError, UnknownInterruptError
from greenroom.graph.resume import answers_of

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def waits(*ids: str) -> list[Interrupt]:
    return [Interrupt("?", ident) for ident in ids]


@pytest.mark.parametrize(
    ("resume", "waiting", "bound", "answers"),
    [
        ("yes", [A], [A], {A: "yes"}),
        ("yes", [B], [A], {}),  # answered by another; B was asked since
        ("yes", [], [A], {}),
        ("yes", [A], [], {}),  # nothing waited when it was accepted
        ("yes", [A, B], [B], {B: "yes"}),
        ({A: 1, B: 2}, [A, B], [A, B], {A: 1, B: 2}),
        ({A: 1, B: 2}, [B], [A, B], {B: 2}),
        ({A: 1, C: 3}, [A, C], [A, B], {A: 1}),
        ({A: 1}, [A, B], None, {A: 1}),
        ({A: 1, "other": 2}, [B], None, {B: {A: 1, "other": 2}}),
        ({}, [A], None, {A: {}}),
        ("yes", [A], None, {A: "yes"}),
    ],
)
def test_a_resume_answers_only_what_waited_when_it_was_accepted(
    resume: Any, waiting: list[str], bound: list[str] | None, answers: dict[str, Any]
) -> None:
    assert answers_of(resume, waits(*waiting), bound)[0] == answers


@pytest.mark.parametrize(("waiting", "bound"), [([A, B], None), ([A], [A, B])])
def test_a_plain_value_for_several_questions_is_refused(
    waiting: list[str], bound: list[str] | None
) -> None:
    with pytest.raises(InvalidResumeError, match=f"{A}.*{B}"):
        answers_of("yes", waits(*waiting), bound)


@pytest.mark.parametrize(
    ("resume", "waiting", "bound", "reason", "idle"),
    [
        ("yes", [B], [A], "not_pending", (A,)),  # answered by another; B was asked since
        ("yes", [], [A], "not_pending", (A,)),
        ({A: 1, B: 2}, [B], [A, B], "not_pending", (A,)),
        ({A: 1, C: 3}, [A, C], [A, B], "not_pending", (C,)),
        ({C: 3}, [A], None, "not_pending", (C,)),
        ("yes", [A, B], None, "ambiguous", ()),
    ],
)
def test_a_strict_resume_answers_all_that_it_is_for_or_nothing(
    resume: Any,
    waiting: list[str],
    bound: list[str] | None,
    reason: str,
    idle: tuple[str, ...],
) -> None:
    with pytest.raises(UnknownInterruptError) as failure:
        answers_of(resume, waits(*waiting), bound, strict=True)
    told = failure.value
    assert (told.reason, told.interrupt_ids, told.pending_ids) == (reason, idle, tuple(waiting))
    assert all(ident in str(told) for ident in (*idle, *(waiting if reason == "ambiguous" else ())))


@pytest.mark.parametrize(
    ("resume", "waiting", "answers"),
    [("yes", [A], {A: "yes"}), ({A: 1}, [A, B], {A: 1}), ("yes", [], {})],
)
def test_a_strict_resume_that_fits_is_as_any_other(
    resume: Any, waiting: list[str], answers: dict[str, Any]
) -> None:
    asked = waits(*waiting)
    assert answers_of(resume, asked, waiting, strict=True) == answers_of(resume, asked, waiting)
    assert answers_of(resume, asked, waiting, strict=True)[0] == answers
