"""The ends of runs, held against the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from greenroom.storage import Storage
from greenroom.storage.records import Run

from .branches import Base, base_at, branched, end_of
from .courses import Course, SeenThread, may_come_first, read
from .model import Place, Wrong, after_run
from .record import Record

__all__ = ["Ends"]


@attrs.define(eq=False)
class Ends(Record):
    """Who says whether a run may have ended like that."""

    def _ended_with(self, part: Course, host: Course) -> None:
        part.end, part.died, part.log = part.run.status, self.lives, host.log
        self.check(
            part.run.status == host.run.status,
            f"{part.order.tag} ended {part.run.status}, and its host {host.run.status}",
        )

    def _ended(self, storage: Storage, course: Course, run: Run, parts: Sequence[Course]) -> None:
        course.end, course.died = run.status, self.lives
        thread, tag = course.thread, course.order.tag
        self.check(run.stop != "rollback", f"{tag} was to be rolled back, and ended {run.status}")
        if run.stop is None and run.status == "interrupted":
            by_client = self._asked_for(course, "interrupt", "delete")
            self.check(by_client, f"{tag} was cut short, and nobody had asked for it")
        cut = run.status == "interrupted" and (tag, "interrupt") in self.cut
        if cut and not course.started and (run.stop is None or thread.is_working):
            return  # it never had its turn
        head, log, questions = read(storage, thread.thread_id)
        base = self._base(storage, course, head)
        added = log[len(base.log) :]
        if log[: len(base.log)] != base.log:
            raise Wrong(f"{tag} ended with {log}; before it there was {base.log}")
        error = run.error["error"] if run.error else None
        self.check(
            (error is not None) == (run.status == "error" or run.status == "timeout"),
            f"{tag} ended {run.status} with {run.error}",
        )
        if base_at(storage, thread, course.base) is None and added == () and run.status == "error":
            error = None if error is None else "it is not there"
        refused = error == "UnknownInterruptError"
        if refused:
            error = None  # which leaves the thread as it was
            same = (head, log, questions) == (thread.head, base.log, thread.questions)
            self.check(same, f"{tag} was refused, and has moved the thread on")
        order = attrs.evolve(
            course.order,
            parts=frozenset(part.order.tag for part in parts),
            others=frozenset(
                one.order.tag
                for one in thread.courses
                if one.joins and one.deleted and one is not course
            ),
        )
        place, answers = after_run(base.place, order, added, run.status, error)
        for answer in answers:
            self._answered(thread, answer.token, answer.question)
        self._in_order(thread, log, added, [course, *parts])
        idle = course.order.kind == "resume" and self._resumed(course, base, head, questions)
        if course.order.kind == "resume":
            self._strict(course, base, refused)
        if run.status == "success" and not idle:
            paused = bool(questions) or course.order.breaks
            self.check(place.done or paused, f"{tag} ended before its end, at {place.step}")
        thread.place, thread.head, thread.log, thread.questions = place, head, log, questions
        course.log = log

    def _in_order(
        self, thread: SeenThread, log: Sequence[str], added: Sequence[str], ended: Sequence[Course]
    ) -> None:
        """Texts have come to the state in the order in which they were accepted."""
        came = {one.order.tag: at for at, one in enumerate(thread.courses)}
        texts = {one.order.tag: one for one in thread.courses if one.order.kind == "text"}
        found = [texts[entry] for entry in log if entry in texts]
        for at, course in enumerate(found):
            if course.order.tag not in added:
                continue
            past = [
                other.order.tag
                for other in found[:at]
                if came[other.order.tag] > came[course.order.tag]
                and not may_come_first(other, course, ended)
            ]
            self.check(not past, f"{past} came to the state before {course.order.tag}")

    def _base(self, storage: Storage, course: Course, head: str | None) -> Base:
        """What a run that has ended has gone on from. One that was to start from an older
        checkpoint may not have come to that."""
        thread, tag, end = course.thread, course.order.tag, end_of(course.thread)
        if course.base in (None, thread.head) or head == thread.head:
            return end
        older = base_at(storage, thread, course.base)
        if older is not None and branched(storage, thread, head, older.head):
            if course.order.kind != "resume":  # its tasks are new ones
                return attrs.evolve(older, place=attrs.evolve(older.place, tags=frozenset()))
            return older
        self.check(course.end != "success", f"{tag} has not gone on from {course.base}")
        return end

    def came_alone_to(self, course: Course, result: Any) -> None:
        """A client was told this of a run that its thread is gone with."""
        tag, log = course.order.tag, tuple(result.get("log", ()))
        cut = {how for one, how in self.cut if one == tag}
        several = len(result.get("__interrupt__", ())) > 1
        if several or course.thread.thread_id in self.dropped or cut & {"rollback", "delete"}:
            return
        try:
            place, _ = after_run(Place(course.thread.place.graph), course.order, log, "", None)
        except Wrong as wrong:
            self.refute(str(wrong))
            return
        paused = "__interrupt__" in result or course.order.breaks
        self.check(place.done or paused or cut, f"{tag} came to {log}, which is not its end")

    def _resumed(
        self, course: Course, base: Base, head: str | None, questions: dict[str, str]
    ) -> bool:
        """A resume answers what it is bound to, if that is still open, and nothing else. Returns
        whether there was nothing."""
        thread, tag, run = course.thread, course.order.tag, course.run
        resume = run.kwargs["command"]["resume"]
        meant = [ident for ident in course.bound if ident in base.questions]
        if isinstance(resume, dict):
            meant = [ident for ident in meant if ident in resume]
        if run.status == "success" and meant:
            left = [ident for ident in meant if ident in questions]
            self.check(not left, f"{tag} was to answer {meant}; {left} are open")
        elif not course.bound:
            return True  # nothing was asked: where a run has paused unasked, it says to go on
        elif run.status == "success":
            self.check(head == thread.head, f"{tag} answers nothing, and has moved the thread on")
            self.check(questions == thread.questions, f"{tag} answers nothing; open: {questions}")
        return not meant

    def _strict(self, course: Course, base: Base, refused: bool) -> None:
        """A strict resume answers all that it is for; where it cannot, it is refused."""
        resume, run, tag = course.run.kwargs["command"]["resume"], course.run, course.order.tag
        if not run.kwargs.get("strict_resume"):
            self.check(not refused, f"{tag} was refused, and is not strict")
            return
        meant = resume if isinstance(resume, dict) else course.bound
        open_now = [ident for ident in course.bound if ident in base.questions]
        fits = all(ident in open_now for ident in meant)
        fits = fits and (isinstance(resume, dict) or len(meant) <= 1)
        self.check(not (refused and fits), f"{tag} was refused, and all of {list(meant)} is open")
        ended_well = run.status == "success" and run.attempt > 0
        self.check(
            fits or not ended_well, f"{tag} is for {list(meant)}; of that {open_now} was open"
        )

    def _answered(self, thread: SeenThread, token: str, question: str) -> None:
        """An answer has come to the state."""
        _, tag, ident = token.split(":")
        by = next((c for c in self.courses.values() if c.order.tag == tag), None)
        if by is None:
            raise Wrong(f"{question} was answered {token}, by nobody")
        self.check(tag not in thread.undone, f"{tag} was rolled back, and answers {question}")
        asked = [known for known, value in by.bound.items() if value in (question, "")]
        self.check(bool(asked), f"{tag} answers {question}; it saw {by.bound}")
        self.check(not ident or ident in asked, f"{tag} answers {question} in place of {ident}")
