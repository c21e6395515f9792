"""What is posted to webhooks, by nobody else than those who get it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import attrs
import trio

from greenroom.actors.webhooks import Undelivered

from .courses import Course
from .witness import Witness

__all__ = ["SimulatedPoster", "url_of", "wait_for_posts"]

PAUSES: Final = (0, 0, 0.01, 0.3)  # seconds that a post takes
FAILS: Final = 0.3
SURE: Final = 4  # attempts until one does not fail any more, fewer than are made
PATIENCE: Final = 600.0  # seconds, longer than all attempts take


def url_of(tag: str) -> str:
    return f"https://hook.test/{tag}"


@attrs.define(eq=False)
class SimulatedPoster:
    """Of one process. A post that fails may have been taken all the same."""

    witness: Witness
    alive: Callable[[], bool]
    _random: Random

    async def check(self, url: str) -> None: ...

    async def post(self, url: str, body: dict[str, Any]) -> None:
        await trio.sleep(self._random.choice(PAUSES))
        if not self.alive():
            await trio.sleep_forever()
        tries = self.witness.tries[url] = self.witness.tries.get(url, 0) + 1
        fails = tries < SURE and self._random.random() < FAILS
        if not fails or self._random.random() < 0.5:
            self._taken(url, body)
        if fails:
            raise Undelivered("nobody answers")

    def _taken(self, url: str, body: dict[str, Any]) -> None:
        witness, course = self.witness, self.witness.courses.get(body["run_id"])
        if course is None:
            witness.refute(f"a run was posted to {url}, which was not accepted")
            return
        tag, log = course.order.tag, (body["values"] or {}).get("log", ())
        witness.say(f"{tag} is posted as {body['status']}")
        witness.check(url == url_of(tag), f"{tag} was posted to {url}")
        if course.temporary:
            gone = course.deleted and body["values"] is None
            witness.check(gone, f"{tag} was posted as {body}, and ends with its thread")
            course.posted = True
            witness.posted.set()
            return
        witness.check(
            body["status"] == course.end,
            f"{tag} was posted as {body['status']}, and its end is {course.end}",
        )
        witness.check(
            ("error" in body) == (course.end in ("error", "timeout")),
            f"{tag} has ended {course.end}, and was posted as {body}",
        )
        if course.log is not None:
            witness.check(
                tuple(log) == course.log, f"{tag} was posted with {log}; its end was {course.log}"
            )
        course.posted = True
        witness.posted.set()


async def wait_for_posts(witness: Witness) -> None:
    """Until every run that has ended and is to be posted was."""

    def left() -> list[str]:
        return [one.order.tag for one in witness.courses.values() if _is_owed(witness, one)]

    with trio.move_on_after(PATIENCE):
        while left():
            witness.posted = trio.Event()
            await witness.posted.wait()
    witness.check(not left(), f"{left()} have ended, and were not posted")


def _is_owed(witness: Witness, course: Course) -> bool:
    """Whether it is yet to be posted; one that was to be deleted may be."""
    tag = course.order.tag
    asked = course.run.kwargs["webhook"] is not None and not course.posted
    cut = course.run.thread_id in witness.dropped or (tag, "rollback") in witness.cut
    ended = (course.deleted and not cut) if course.temporary else course.run.status == course.end
    return asked and ended and (tag, "delete") not in witness.cut
