"""A round: a thread is texted twice, and what came of it is checked.

The first text thinks; the second one is sent while it does, after another one where the strategy is
to make one of them. What came of all must be in the state once and in order, and all runs must have
ended as their strategy says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing

import attrs
import trio
from targets import Target, Unexpected

__all__ = ["FAULTS", "STRATEGIES", "Round", "texted_twice"]

LONG = 300.0  # seconds of thought that a strategy cuts short
SHORT = 0.1  # seconds of thought that it waits for, or
SHORT_EACH = 0.01  # as many for each of the threads, so that the second text comes in time
PATIENCE = 2.0  # seconds after the second text's end until no run may be under way any more
TRIES = 5  # times that is asked at least, however long a busy server takes to answer
LIMIT = 180.0  # seconds that a round may take

# What may be wrong. `lost`, `duplicated`: something that was said is not in the state, or more than
# once. `state`: it is wrong otherwise. `status`: of the answer, of a run or of the thread.
# `at once`: a node of the second run began while one of the first was at work. `failed`: the round
# did not come to its end.
FAULTS = ("lost", "duplicated", "state", "status", "at once", "failed")

UNDER_WAY = {"pending", "running"}
H1, A1, H2, A2 = "heard one", "answered one", "heard two", "answered two"
SAID, HB, AB = "said between", "heard between", "answered between"


@attrs.frozen
class Outcome:
    """What must come of a round. `first`, `second`: how the runs end, None for one that is not
    there. `waits`: the first text's thought is not cut short. `late`: what `log` may be as well, if
    that was over too early. `between`: a text is sent between the two, like the second.
    `after_seconds`: when these are to start."""

    first: str | None
    second: str | None
    log: tuple[str, ...]
    waits: bool = False
    late: tuple[str, ...] | None = None
    between: bool = False
    after_seconds: float | None = None


MERGED = Outcome(
    "success",
    "success",
    (H1, A1, SAID, H2, A2),
    waits=True,
    late=(H1, A1, SAID, HB, AB, H2, A2),
    between=True,
)

STRATEGIES = {
    "reject": Outcome("interrupted", None, (H1,)),  # the first is cancelled after the refusal
    "enqueue": Outcome("success", "success", (H1, A1, H2, A2), waits=True),
    "interrupt": Outcome("interrupted", "success", (H1, H2, A2)),
    "rollback": Outcome(None, "success", (H2, A2)),
    "merge": MERGED,
    "debounce": attrs.evolve(MERGED, after_seconds=SHORT / 2),
    "steer": Outcome("success", "success", (H1, A2), waits=True, late=(H1, A1, H2, A2)),
}


@attrs.define(eq=False)
class Text:
    """A text, and when things happened to it by trio's clock. `says`: what it leaves in the state
    itself."""

    name: str
    seconds: float
    strategy: str | None = None
    after_seconds: float | None = None
    says: tuple[str, ...] = ()
    status: int | None = None
    run: str | None = None
    sent: float = 0.0
    answered: float = 0.0
    first_event: float | None = None
    ended: float | None = None
    alone: float | None = None
    at_once: bool = False
    accepted: trio.Event = attrs.field(factory=trio.Event)
    thinks: trio.Event = attrs.field(factory=trio.Event)

    async def send(self, target: Target, thread: str) -> None:
        """Send it and follow its run to the end."""
        said = {"chat": thread, "text": self.name, "seconds": self.seconds, "log": [*self.says]}
        self.sent = trio.current_time()
        reply = await target.text(thread, said, self.strategy, self.after_seconds)
        self.answered, self.status = trio.current_time(), reply.status
        self.accepted.set()
        async with aclosing(reply.events) as events:
            async for name, data in events:
                if self.first_event is None:
                    self.first_event = trio.current_time()
                if name == "metadata":
                    self.run = data["run_id"]
                elif name == "custom" and "thinks" in data:
                    self.thinks.set()
                elif name == "custom":
                    self.alone, self.at_once = data["alone"], data["at_once"]
        self.ended = trio.current_time()
        self.thinks.set()


@attrs.frozen
class Round:
    """What came of it, in seconds from when the second text was sent; where that waits for the
    first one, without the rest of its thought.

    `hand_over`: from where the first run's thought ended to where the second run's first node
    began, by the server's clock. `faults`: what was wrong, of `FAULTS`, each with an explanation.
    `late`: the first run was over before the second text was there, so that the times say nothing.
    """

    first_event: float | None
    end: float
    hand_over: float | None
    faults: dict[str, str]
    late: bool = False


async def texted_twice(target: Target, strategy: str, threads: int) -> Round:
    """A round on a new thread. `threads`: how many are texted at the same time."""
    wanted = STRATEGIES[strategy]
    thinking = max(SHORT, SHORT_EACH * threads) if wanted.waits else LONG
    first, second = Text("one", thinking), Text("two", 0.0, strategy, wanted.after_seconds)
    texts = [first, second]
    with trio.fail_after(LIMIT):
        thread = await target.new_thread()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.send, target, thread)
            await first.thinks.wait()
            if first.run is None:
                raise Unexpected(f"the first text was answered {first.status}")
            rest_at = trio.current_time() + (thinking if wanted.waits else 0.0)
            if wanted.between:
                between = Text("between", 0.0, strategy, wanted.after_seconds, (SAID,))
                texts.insert(1, between)
                nursery.start_soon(between.send, target, thread)
                await between.accepted.wait()
            await second.send(target, thread)
            over = first.ended is not None and first.ended < second.answered
            late = wanted.waits and over
            if wanted.second is None:
                await target.cancel(thread, first.run)
            statuses = await settled(target, thread)
            if statuses.get(first.run) in UNDER_WAY:
                await target.cancel(thread, first.run)
                nursery.cancel_scope.cancel()
        log, idle = await target.log(thread), await target.status(thread)
    assert second.ended is not None
    in_time = second.answered < first.sent + thinking  # else it is not certain
    if not in_time and tuple(log) == wanted.late:
        wanted, late = attrs.evolve(wanted, log=wanted.late), True
    faults = dict(wrong_state(log, wanted))
    if status := wrong_status(wanted, texts, statuses, idle):
        faults["status"] = status
    if second.at_once:
        faults["at once"] = "both runs were at work at once"
    waited = max(0.0, rest_at - second.sent)
    return Round(
        None if second.first_event is None else max(0.0, second.first_event - second.sent - waited),
        max(0.0, second.ended - second.sent - waited),
        second.alone,
        faults,
        late,
    )


async def settled(target: Target, thread: str) -> dict[str, str]:
    """The runs' statuses, once none is under way any more, or as they are when the target has had
    its time and its tries."""
    give_up_at, tries = trio.current_time() + PATIENCE, 0
    while True:
        statuses = await target.runs(thread)
        tries += 1
        over = UNDER_WAY.isdisjoint(statuses.values())
        if over or (trio.current_time() > give_up_at and tries > TRIES):
            return statuses
        await trio.sleep(0.02)


def wrong_state(log: list[str], wanted: Outcome) -> Iterator[tuple[str, str]]:
    """What is wrong with the state, each with the state as the explanation."""
    have, text = Counter(log), f"the state is {log}"
    lost = set(wanted.log) - set(have)
    duplicated = [one for one, times in have.items() if times > 1]
    if lost:
        yield "lost", text
    if duplicated:
        yield "duplicated", text
    if not lost and not duplicated and tuple(log) != wanted.log:
        yield "state", text


def wrong_status(
    wanted: Outcome, texts: Sequence[Text], statuses: dict[str, str], thread: str
) -> str | None:
    """What is wrong with the statuses, if anything. A thread whose run was cancelled is not idle:
    the run left nodes to do."""
    first, *others = texts
    answer = 409 if wanted.second is None else 200
    for text in others:
        if text.status != answer:
            return f"text {text.name} was answered {text.status}"
    for text, status in [(first, wanted.first), *((text, wanted.second) for text in others)]:
        if (found := statuses.get(text.run or "")) != status:
            return f"run {text.name} is {found}, not {status}"
    if wanted.second is not None and thread != "idle":
        return f"the thread is {thread}"
    return None
