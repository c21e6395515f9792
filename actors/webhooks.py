"""What runs came to, posted to those who asked for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import trio

from greenroom.storage import Storage, StorageError
from greenroom.storage.operations import DeletePost
from greenroom.storage.records import Post, Run
from greenroom.storage.rows import from_row

from .errors import Invalid
from .views import run_view

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["Poster", "Undelivered", "Webhooks", "outcome"]

logger = logging.getLogger(__name__)

AT_ONCE: Final = 20  # posts under way
ATTEMPTS: Final = 8
FIRST_WAIT: Final = 1.0  # seconds before the second attempt, doubled each time; some more by chance


class Undelivered(Exception):
    """A post was not taken; the text says why. It may be next time."""


class Poster(Protocol):
    """How a runtime posts, and where to: this package does not know of HTTP."""

    async def check(self, url: str) -> None:
        """Raises Invalid for an address that nothing may be posted to."""

    async def post(self, url: str, body: dict[str, Any]) -> None:
        """Post JSON, once. Raises Undelivered, or Invalid where it is no use to try again."""


def outcome(run: Run, values: Any, ended: Run) -> Post:
    """What is posted: the run as it `ended`, its values (None where its thread has gone with it),
    its times, and the error if it failed. `run`: as it was started, if it was."""
    told = {
        **run_view(ended),
        "values": None if run.kwargs["temporary"] else values,
        "run_started_at": run.updated_at if run.attempt else None,
        "run_ended_at": ended.updated_at,
    }
    if ended.error is not None:
        told["error"] = ended.error
    return Post(
        post_id=run.run_id, url=run.kwargs["webhook"], body=told, created_at=ended.updated_at
    )


@attrs.define(eq=False)
class Webhooks:
    """Posts side by side, each again and again until it is taken, with longer and longer waits.

    A post is in storage from the commit that ends its run until it is taken or given up.
    """

    supervisor: Supervisor
    poster: Poster | None
    _limit: trio.CapacityLimiter = attrs.field(
        init=False, factory=lambda: trio.CapacityLimiter(AT_ONCE)
    )
    _under_way: set[str] = attrs.field(init=False, factory=set)  # by id

    async def check(self, url: str) -> None:
        """Raises Invalid for an address that nothing may be posted to."""
        if self.poster is None:
            raise Invalid("webhook: this runtime has no way to post; Greenroom(poster=…) is one")
        await self.poster.check(url)

    async def recover(self) -> None:
        """Send what an earlier process left, or an actor that crashed."""
        if self.poster is None:
            return
        after = ""
        while rows := await self.supervisor.session.read(Storage.scan_posts, after=after):
            for row in rows:
                self.send(from_row(Post, row, self.supervisor.session.storage.types))
            after = rows[-1]["post_id"]

    def send(self, post: Post) -> None:
        """Post what is in storage, unless that is being done. Does not wait."""
        if post.post_id not in self._under_way:
            self._under_way.add(post.post_id)
            self.supervisor.start(self._deliver, post)

    async def _deliver(self, post: Post) -> None:
        await self._try(post)
        try:
            await self.supervisor.session.commit([DeletePost(post.post_id)])
        except StorageError as error:
            logger.warning("run %s will be posted again: %s", post.post_id, error)
        self._under_way.discard(post.post_id)

    async def _try(self, post: Post) -> None:
        wait = FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._post(post)
            except Invalid as error:
                logger.warning("run %s: %s; it is not posted", post.post_id, error)
                return
            except Undelivered as error:
                logger.warning(
                    "run %s: attempt %d to post it failed: %s", post.post_id, attempt, error
                )
            else:
                return
            if attempt < ATTEMPTS:
                await trio.sleep(wait * (1 + self.supervisor.world.random.random() / 4))
                wait *= 2
        logger.error("run %s was not posted in %d attempts", post.post_id, ATTEMPTS)

    async def _post(self, post: Post) -> None:
        async with self._limit:
            if self.poster is None:
                raise Invalid("webhook: this runtime has no way to post")
            body = {**post.body, "webhook_sent_at": self.supervisor.world.timestamp()}
            try:
                await self.poster.post(post.url, body)
            except (Invalid, Undelivered):
                raise
            except Exception as error:
                logger.exception("posting failed")
                raise Undelivered(f"{type(error).__name__}: {error}") from error
