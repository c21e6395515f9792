"""Who sees every commit as it is made and every node as it works, and says what may not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

import attrs
import msgspec
import trio

from greenroom.actors import StreamPart
from greenroom.actors.starts import MAX_STALLED_STARTS
from greenroom.storage import UNFINISHED, Operation, Storage
from greenroom.storage.operations import (
    AppendEvents,
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    PutRun,
    PutThread,
    TruncateLog,
)
from greenroom.storage.records import Event, Run, Thread

from .branches import base_at, branched, end_of, is_of
from .courses import DELETED, ROLLED_BACK, Course, SeenThread, described, order_of, read, threads_of
from .ends import Ends
from .model import RULES, Place, Wrong, after_edit, has_played

__all__ = ["RUN_TIMEOUT", "Witness"]

RUN_TIMEOUT: Final = 20.0  # seconds that a run may take


@attrs.define(eq=False)
class Witness(Ends):
    """Follows what is committed."""

    # Commits.

    def committed(self, storage: Storage, group: Sequence[Operation]) -> None:
        """A group was applied."""
        digest = blake2b(repr(group).encode(), digest_size=4).hexdigest()
        self.say(f"commit {digest}: {'; '.join(map(described, group))}")
        try:
            self._follow(storage, group)
        except Wrong as wrong:
            self.refute(str(wrong))
        except Exception as error:  # for those who look, and not for the runtime
            self.refute(f"{type(error).__name__}: {error}")

    def _follow(self, storage: Storage, group: Sequence[Operation]) -> None:
        ended: list[tuple[Course, Run]] = []
        for operation in group:
            match operation:
                case InsertThread(thread):
                    graph = _graph_of(thread, group)
                    self.threads[thread.thread_id] = SeenThread(thread.thread_id, Place(graph))
                case DeleteThread(thread_id):
                    self._thread_gone(thread_id)
                case PutRun(run):
                    ended += self._put(storage, run, group)
                case DeleteRun(_, run_id):
                    self._run_gone(storage, run_id, group)
                case AppendEvents(events):
                    self._kept(events)
                case AppendLog(rows) if rows:
                    self._appended(storage, operation, group)
            for thread_id in threads_of(operation):
                self.changes[thread_id] = self.changes.get(thread_id, 0) + 1
        for course, run in ended:
            parts = [part for part, _ in ended if part.host == run.run_id]
            if course.host is None or course.host not in {host.run_id for _, host in ended}:
                self._ended(storage, course, run, parts)
            for part in parts:
                self._ended_with(part, course)
        for operation in group:
            if isinstance(operation, PutThread):
                self._shown(operation.thread)

    def _put(
        self, storage: Storage, run: Run, group: Sequence[Operation]
    ) -> list[tuple[Course, Run]]:
        course = self.courses.get(run.run_id)
        if course is None:
            self._accepted(storage, run, group)
            return []
        before, course.run = course.run, run
        tag = course.order.tag
        if course.end is not None:
            raise Wrong(f"{tag} is {run.status} after it had ended {course.end}")
        if run.stop != before.stop:
            self._told(course, before, group)
        if run.status == "pending" and course.started:
            raise Wrong(f"{tag} is pending again")
        if run.status == "running":
            course.started = True
            self._may_work(course)
            others = [c.order.tag for c in course.thread.unfinished if c.run.status == "running"]
            self.check(len(others) == 1, f"{others} run at once")
        return [(course, run)] if run.status not in UNFINISHED else []

    def _accepted(self, storage: Storage, run: Run, group: Sequence[Operation]) -> None:
        thread = self.threads.get(run.thread_id)
        if thread is None:
            raise Wrong(f"a run was accepted on {run.thread_id}, which is not there")
        order = order_of(run)
        rule = RULES[run.multitask_strategy]
        before = thread.unfinished
        self.check(not thread.temporary, f"{order.tag} came to the thread of another run alone")
        self.check(run.status == "pending", f"{order.tag} is new and {run.status}")
        twice = any(course.order.tag == order.tag for course in self.courses.values())
        self.check(not twice, f"{order.tag} was accepted twice")
        self.check(order.tag not in self.called_off, f"{order.tag} came, and had been called off")
        self.check(not (before and rule.refused), f"{order.tag} was to be refused")
        self.check(
            all(run.seq > course.run.seq for course in thread.courses if not course.deleted),
            f"{order.tag} did not come last",
        )
        if rule.stops is not None:
            stops = (rule.stops, "rollback")
            spared = [
                course.order.tag
                for course in before
                # Who is part of another is interrupted with it, and may not be stored as that yet.
                if course.run.stop not in stops
                and not (course.joins and thread.is_working and rule.stops == "interrupt")
            ]
            self.check(not spared, f"{spared} were not told to stop when {order.tag} came")
        course = Course(run, thread, order, born=self.lives, came_at=trio.current_time())
        if order.kind == "resume":
            course.bound = self._bound(storage, thread, run)
        thread.courses.append(course)
        self.courses[run.run_id] = course

    def _bound(self, storage: Storage, thread: SeenThread, run: Run) -> dict[str, str]:
        """The questions that a resume may answer: those that are open now, or are again where what
        is under way is rolled back for it."""
        checkpoint_id = run.kwargs["config"]["configurable"].get("checkpoint_id")
        base = base_at(storage, thread, checkpoint_id)
        questions = {} if base is None else base.questions
        undoes = run.multitask_strategy == "rollback" and checkpoint_id is None
        if undoes:
            questions = thread.questions
        bound = run.bound or ()
        if undoes or not thread.unfinished:
            # Otherwise what a run has done may not be stored yet.
            self.check(
                set(bound) == set(questions),
                f"{order_of(run).tag} is bound to {bound}; what is open is {questions}",
            )
        return {ident: questions.get(ident, "") for ident in bound}

    def _told(self, course: Course, before: Run, group: Sequence[Operation]) -> None:
        """A run was told to stop: by whom?"""
        stop, tag = course.run.stop, course.order.tag
        self.check(before.stop != "rollback", f"{tag} was to be rolled back, and now {stop}")
        new = [op.run for op in group if isinstance(op, PutRun) and op.run.status == "pending"]
        by_strategy = any(
            run.run_id not in self.courses and RULES[run.multitask_strategy].stops == stop
            for run in new
        )
        by_client = self._asked_for(course, str(stop), *(["delete"] * (stop == "interrupt")))
        self.check(
            stop == "timeout" or by_strategy or by_client,
            f"{tag} was told to stop ({stop}), and nobody had asked for it",
        )

    def _may_work(self, course: Course) -> None:
        """Whether it is its turn."""
        if course.end is not None:
            raise Wrong(f"{course.order.tag} works after it has ended {course.end}")
        earlier = [
            other.order.tag
            for other in course.thread.unfinished
            if other.run.seq < course.run.seq
            and not (other.delayed or course.delayed)
            and not (other.joins and course.joins)
        ]
        self.check(not earlier, f"{course.order.tag} works before {earlier} have ended")

    def _thread_gone(self, thread_id: str) -> None:
        thread = self.threads.pop(thread_id, None)
        if thread is None:
            return
        thread.gone = True
        self.gone.add(thread_id)
        if thread_id not in self.dropped:
            self._gone_with_its_run(thread)
        for course in thread.unfinished:
            course.end = DELETED
        for course in thread.courses:
            course.deleted = True

    def _gone_with_its_run(self, thread: SeenThread) -> None:
        """Nobody has deleted the thread: it was of one run, which is over."""
        if not thread.temporary:
            raise Wrong(f"{thread.thread_id} was deleted, and nobody had asked for it")
        [course] = thread.courses
        order = course.order
        cut = course.run.stop is not None or any(tag == order.tag for tag, _ in self.cut)
        late = trio.current_time() - course.came_at > RUN_TIMEOUT - 0.001  # sums of floats
        unread = self.unread_at >= course.came_at
        played = has_played(thread.place.graph, order, course.visited, course.done)
        stalled = course.run.stalled >= MAX_STALLED_STARTS
        self.check(
            cut or late or stalled or unread or played,
            f"{order.tag} is gone, and has done {course.done} alone",
        )

    def _run_gone(self, storage: Storage, run_id: str, group: Sequence[Operation]) -> None:
        course = self.courses.get(run_id)
        if course is None or course.deleted:
            return
        course.deleted = True
        if course.end is not None:
            by_client = (course.order.tag, "delete") in self.cut
            self.check(by_client, f"{course.order.tag} was deleted, and nobody had asked for it")
            return
        tag, thread = course.order.tag, course.thread
        asked = (tag, "rollback") in self.cut and (tag, "delete") not in self.cut
        by_client = course.host is None and asked
        if course.run.stop == "rollback" or by_client:
            course.end = ROLLED_BACK
        else:
            course.end = DELETED
            by_client = (tag, "delete") in self.cut
            self.check(by_client, f"{tag} was deleted, and nobody had asked for it")
        if course.run.stop == "rollback" and not thread.is_working:
            head, log, questions = read(storage, thread.thread_id)
            self.check(log == thread.log, f"{tag} was rolled back and has left {log}")
            self.check(questions == thread.questions, f"after {tag} is open {questions}")
            self.check(head == thread.head, f"{tag} was rolled back and has left a checkpoint")
        elif course.started:
            raise Wrong(f"{tag} was deleted while it ran")

    def _appended(self, storage: Storage, append: AppendLog, group: Sequence[Operation]) -> None:
        thread_id = append.rows[0].thread_id
        thread = self.threads.get(thread_id)
        if thread is None:
            raise Wrong(f"records for {thread_id}, which is not there")
        if any(isinstance(op, InsertThread) for op in group) and not thread.courses:
            self._copied(storage, thread)
            return
        if any(isinstance(op, TruncateLog) for op in group):
            self._pruned(storage, thread)
            return
        put = [op.run.run_id for op in group if isinstance(op, PutRun)]
        writing = [c.run.run_id for c in thread.unfinished if c.run.status == "running"]
        writing += [run_id for run_id in put if self.courses[run_id].thread is thread]
        for row in append.rows:
            if row.kind != "checkpoint":
                continue
            run_id = (msgspec.json.decode(row.data).get("metadata") or {}).get("run_id")
            course = None if run_id is None else self.courses[run_id]
            part = course is not None and course.joins and course.deleted and bool(writing)
            if course is not None and run_id not in writing and not part:
                raise Wrong(f"{course.order.tag} wrote when it was not its turn")
        if not writing:
            self._edited(storage, thread)

    def _copied(self, storage: Storage, copy: SeenThread) -> None:
        made = base_at(storage, copy)
        sources = [self.threads[ident] for ident in self.copied if ident in self.threads]
        source = next((one for one in sources if made and is_of(storage, made, one)), None)
        if made is None or source is None:
            raise Wrong(f"{made} is the copy of no thread as it is")
        copy.inherited = source.tags
        copy.place = attrs.evolve(made.place, tags=source.tags)
        copy.head, copy.log, copy.questions = made.head, made.log, made.questions
        stored = storage.get_thread(copy.thread_id)
        assert stored is not None
        self._shown(stored)

    def _pruned(self, storage: Storage, thread: SeenThread) -> None:
        busy = [course.order.tag for course in thread.unfinished]
        self.check(not busy, f"the log was cut while there were {busy}")
        there, was = read(storage, thread.thread_id), (thread.head, thread.log, thread.questions)
        self.check(there == was, f"the log was cut, which ended with {was}, and now with {there}")

    def _edited(self, storage: Storage, thread: SeenThread) -> None:
        busy = [course.order.tag for course in thread.unfinished]
        self.check(not busy, f"the state was edited while there were {busy}")
        head, log, questions = read(storage, thread.thread_id)
        tag = log[-1].split(" ")[-1] if log else None
        if tag not in self.edits:
            raise Wrong(f"{log} was {thread.log}, and no run is under way")
        node, at = self.edits[tag]
        base = end_of(thread)
        if at not in (None, thread.head):
            older = base_at(storage, thread, at)
            if older is None or not branched(storage, thread, head, at):
                raise Wrong(f"{tag} was to be of checkpoint {at}, and is not")
            base = older
        added = log[len(base.log) :]
        if log[: len(base.log)] != base.log or not added:
            raise Wrong(f"{log} was {base.log}, and no run is under way")
        thread.place = after_edit(base.place, added[:-1], node)
        thread.head, thread.log, thread.questions = head, log, questions

    def _kept(self, events: Sequence[Event]) -> None:
        for event in events:
            course = self.courses.get(event.run_id)
            if course is None:
                raise Wrong(f"an event of {event.run_id}, which is not there")
            if course.end is not None and not course.deleted:
                raise Wrong(f"{course.order.tag} has told of {event.name} after its end")
            last, course.last_event = course.last_event, event.event_id
            self.check(event.event_id > last, f"event {event.event_id} comes after {last}")
            shown = StreamPart.of(event)
            self.told(shown.id, shown.event, shown.json)

    def _shown(self, shown: Thread) -> None:
        thread = self.threads.get(shown.thread_id)
        if thread is None:
            return
        busy, place = bool(thread.unfinished), thread.place
        allowed = {"idle"} if place.done else {"interrupted"}
        if busy:
            allowed = {"busy"}
        elif place.failed:
            allowed = {"error", *allowed}
        self.check(
            shown.status in allowed,
            f"the thread is {shown.status} with {len(thread.unfinished)} runs, at {place.step}",
        )

    # What is heard from elsewhere.

    def told(self, event_id: int, name: str, data: bytes) -> None:
        """An event was kept, or read."""
        before = self.events.setdefault(event_id, (name, data))
        self.check(before == (name, data), f"event {event_id} is {before} and {(name, data)}")

    @contextmanager
    def watched(
        self, alive: Callable[[], bool], node: str, thread_id: str, run_id: str, tag: str
    ) -> Iterator[None]:
        """A node works."""
        course = self.courses.get(run_id)
        if not alive() or course is None:
            self.check(not alive(), f"{node} of {tag} works, which was not accepted")
            yield
            return
        self.say(f"{node} of {tag} begins")
        thread = course.thread
        try:
            self._may_work(course)
        except Wrong as wrong:
            self.refute(str(wrong))
        others = [
            self.courses[other].order.tag
            for other in thread.at_work
            if other != run_id and self.courses[other].end is None
        ]
        self.check(not others, f"{tag} and {others} work at once")
        thread.at_work[run_id] = thread.at_work.get(run_id, 0) + 1
        course.visited.add(node)
        try:
            yield
            course.done.add(node)
        finally:
            if alive():
                self.say(f"{node} of {tag} ends")
                thread.at_work[run_id] -= 1
                if not thread.at_work[run_id]:
                    del thread.at_work[run_id]


def _graph_of(thread: Thread, group: Sequence[Operation]) -> str:
    """The graph of a new thread; one of a run alone has that of the run."""
    runs = [operation.run for operation in group if isinstance(operation, PutRun)]
    metadata = runs[0].metadata if runs else thread.metadata
    return str(metadata["graph_id"])
