"""Which questions a resume answers, when it was accepted before it is run."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.graph import Interrupt, InvalidResumeError
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
    assert answers_of(resume, waits(*waiting), bound) == answers


@pytest.mark.parametrize(("waiting", "bound"), [([A, B], None), ([A], [A, B])])
def test_a_plain_value_for_several_questions_is_refused(
    waiting: list[str], bound: list[str] | None
) -> None:
    with pytest.raises(InvalidResumeError, match=f"{A}.*{B}"):
        answers_of("yes", waits(*waiting), bound)
