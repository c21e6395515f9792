"""Clients cut runs short."""

from __future__ import annotations

from .caller import Caller

__all__ = ["Stopping"]


class Stopping(Caller):
    """Those who cancel runs and delete them."""

    __slots__ = ()

    async def _cancel(self, thread_id: str) -> str:
        client, course = await self._client(), self._any_course(thread_id)
        action, wait = self.random.choice(("interrupt", "rollback")), self.random.random() < 0.5
        tag = course.order.tag
        self._witness.cut.add((tag, action))
        before = course.end
        await client.runs.cancel(thread_id, course.run.run_id, wait=wait, action=action)
        told = (
            course.end is not None
            or course.joins
            or course.run.stop in (action, "rollback", "timeout")
        )
        self._witness.check(told, f"{tag} is not to stop, and its client was told so")
        if wait:
            self._ended(course)
        self._witness.check(before is None, f"{tag} was cancelled and had ended {before}")
        if action == "rollback":
            self._witness.check(
                course.end in (None, "rolled back", "deleted"), f"{tag} was to be rolled back"
            )
        return f"{tag} {action} {course.end}"

    async def _cancel_many(self, thread_id: str) -> str:
        client = await self._client()
        courses = [self._any_course(thread_id) for _ in range(2)]
        action = self.random.choice(("interrupt", "rollback"))
        self._witness.cut |= {(course.order.tag, action) for course in courses}
        ids = [course.run.run_id for course in courses]
        await client.runs.cancel_many(thread_id=thread_id, run_ids=ids, action=action)
        return f"{[course.order.tag for course in courses]} {action}"

    async def _delete_run(self, thread_id: str) -> str:
        client, course = await self._client(), self._any_course(thread_id)
        self._witness.cut.add((course.order.tag, "delete"))
        await client.runs.delete(thread_id, course.run.run_id)
        self._witness.check(course.deleted, f"{course.order.tag} is there, and was deleted")
        return course.order.tag
