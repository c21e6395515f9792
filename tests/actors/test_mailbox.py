from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Closed, NotFound
from greenroom.actors.mailbox import Cancel, DeleteThread, Mailbox, Patch, Reply


def test_messages_are_taken_in_the_order_in_which_they_came() -> None:
    mailbox = Mailbox()
    messages = [Patch({"n": 1}), DeleteThread(), Patch({"n": 2})]
    for message in messages:
        mailbox.put(message)

    assert [mailbox.take() for _ in range(len(mailbox))] == messages
    assert not mailbox


async def test_waiting_for_mail_ends_with_the_first_message() -> None:
    mailbox = Mailbox()
    mailbox.put(DeleteThread())
    mailbox.take()
    waited = trio.Event()

    async def wait() -> None:
        await mailbox.wait()
        waited.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not waited.is_set()
        mailbox.put(DeleteThread())

    assert waited.is_set()
    assert len(mailbox) == 1


async def test_a_mailbox_that_is_closed_answers_everybody() -> None:
    mailbox = Mailbox()
    messages = [Cancel("r", "interrupt"), DeleteThread()]
    for message in messages:
        mailbox.put(message)

    mailbox.refuse_all(Closed("shut"))

    assert not mailbox
    for message in messages:
        with pytest.raises(Closed, match="shut"):
            await message.reply.wait()


async def test_a_reply_is_what_was_sent_first() -> None:
    answered: Reply[int] = Reply()
    answered.send(1)
    answered.send(2)
    answered.fail(NotFound("late"))
    assert await answered.wait() == 1

    failed: Reply[int] = Reply()
    failed.fail(NotFound("no thread"))
    failed.send(1)
    with pytest.raises(NotFound, match="no thread"):
        await failed.wait()


async def test_a_reply_is_waited_for() -> None:
    reply: Reply[str] = Reply()
    got: list[str] = []

    async def wait() -> None:
        got.append(await reply.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert got == []
        reply.send("yes")

    assert got == ["yes", "yes"]
