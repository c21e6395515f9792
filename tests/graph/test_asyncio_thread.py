"""An asyncio loop beside trio's: what comes back, what is cancelled, and what dies."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import selectors
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
import trio.testing

from greenroom.graph import AsyncioThreadDied
from greenroom.graph.asyncio_thread import AsyncioThread, asyncio_thread
from greenroom.graph.here import (
    stall_for_trio,
    tell_trio,
    tell_trio_later,
    to_trio,
    wait_for_trio,
)
from greenroom.graph.stall import StallWatch

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


class Seen(list[str]):
    """What happened, in order; for both loops."""


@pytest.fixture
def seen() -> Seen:
    return Seen()


async def forever() -> None:
    await asyncio.Event().wait()


async def thread_ident() -> int:
    return threading.get_ident()


async def after(event: trio.Event) -> None:
    await event.wait()


# What comes back.


async def test_what_a_coroutine_returns_comes_back() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    assert await asyncio_thread().run(double, 21) == 42


async def test_an_error_comes_back_as_it_is() -> None:
    error = KeyError("k")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(KeyError) as caught:
        await asyncio_thread().run(fails)
    assert caught.value is error


async def test_what_is_no_async_function_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="await"):
        await asyncio_thread().run(lambda: 1)  # type: ignore[arg-type,return-value]


async def test_calls_go_on_side_by_side_on_one_loop() -> None:
    met: list[asyncio.Event] = []

    async def meet() -> asyncio.AbstractEventLoop:
        if not met:
            met.append(asyncio.Event())
            await met[0].wait()
        met[0].set()
        return asyncio.get_running_loop()

    loops = []

    async def call() -> None:
        loops.append(await asyncio_thread().run(meet))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(call)
    assert loops[0] is loops[1]


async def test_it_runs_in_a_copy_of_the_callers_context() -> None:
    async def paint() -> str:
        before = colour.get()
        colour.set("red")
        return before

    colour.set("green")
    assert await asyncio_thread().run(paint) == "green"
    assert colour.get() == "green"


async def test_libraries_for_either_loop_find_asyncios() -> None:
    async def which() -> str:
        await anyio.lowlevel.checkpoint()
        return anyio.get_cancelled_exc_class().__module__

    assert (await asyncio_thread().run(which)).startswith("asyncio")


def test_libraries_for_either_loop_find_asyncios_under_anyio() -> None:
    async def which() -> str:
        await anyio.lowlevel.checkpoint()
        return anyio.get_cancelled_exc_class().__module__

    async def main() -> str:
        return await asyncio_thread().run(which)

    assert anyio.run(main, backend="trio").startswith("asyncio")


async def test_a_grace_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        await asyncio_thread().run(forever, grace=-1)


# Cancelling.


async def test_what_is_cancelled_before_it_starts_never_does(seen: Seen) -> None:
    thread, blocked, gate = asyncio_thread(), trio.Event(), threading.Event()

    async def block() -> None:
        tell_trio(blocked.set)
        gate.wait()

    async def late() -> None:
        seen.append("started")

    async def cancelled() -> None:
        with trio.CancelScope() as scopes[0]:
            await thread.run(late)

    scopes: list[Any] = [None]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, block)
        await blocked.wait()
        nursery.start_soon(cancelled)
        await trio.testing.wait_all_tasks_blocked()
        scopes[0].cancel()
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert scopes[0].cancelled_caught
    assert seen == []


async def test_cancelling_waits_until_the_task_has_stopped(seen: Seen) -> None:
    started, stopping, may_stop = trio.Event(), trio.Event(), trio.Event()

    async def work() -> None:
        tell_trio(started.set)
        try:
            await forever()
        finally:
            tell_trio(stopping.set)
            await to_trio(after, may_stop)
            seen.append("task stopped")

    async def call() -> None:
        with trio.CancelScope() as scopes[0]:
            await asyncio_thread().run(work)
        seen.append("call over")

    scopes: list[Any] = [None]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await started.wait()
        scopes[0].cancel()
        await stopping.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        may_stop.set()
    assert seen == ["task stopped", "call over"]


async def returns() -> str:
    return "late"


async def fails() -> None:
    raise ValueError("late")


@pytest.mark.parametrize("end", [returns, fails])
async def test_a_task_that_answers_a_cancel_otherwise_is_cancelled_all_the_same(end: Any) -> None:
    async def work(scope: trio.CancelScope) -> Any:
        tell_trio(scope.cancel)
        try:
            await forever()
        except asyncio.CancelledError:
            return await end()

    with trio.CancelScope() as scope:
        await asyncio_thread().run(work, scope)
    assert scope.cancelled_caught


async def test_a_cancel_that_meets_the_result_on_its_way_wins() -> None:
    async def work(scope: trio.CancelScope) -> str:
        tell_trio(scope.cancel)
        return "on its way"

    with trio.CancelScope() as scope:
        await asyncio_thread().run(work, scope)
    assert scope.cancelled_caught


async def test_a_cancel_after_the_result_has_come_changes_nothing() -> None:
    with trio.CancelScope() as scope:
        assert await asyncio_thread().run(returns) == "late"
        scope.cancel()


async def test_a_cancelled_caller_starts_nothing(seen: Seen) -> None:
    async def work() -> None:
        seen.append("started")

    thread = asyncio_thread()
    with trio.CancelScope() as scope:
        scope.cancel()
        await thread.run(work)
    await thread.run(returns)
    assert seen == []


async def test_a_task_that_does_not_stop_is_left_behind(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    release, gone = asyncio.Event(), trio.Event()

    async def stubborn(scope: trio.CancelScope) -> str:
        tell_trio(scope.cancel)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        asyncio.current_task().add_done_callback(  # type: ignore[union-attr]
            lambda _: asyncio.get_running_loop().call_soon(tell_trio, gone.set)
        )
        return "late"

    async def let_go() -> None:
        release.set()

    thread = asyncio_thread()
    began = trio.current_time()
    with trio.CancelScope() as scope:
        await thread.run(stubborn, scope, grace=7)
    assert scope.cancelled_caught
    assert trio.current_time() - began >= 7
    assert "'stubborn' did not stop within 7 s" in caplog.text
    assert "ended after" not in caplog.text
    await thread.run(let_go)
    await gone.wait()
    assert "'stubborn' ended after it was left behind" in caplog.text


async def test_without_grace_nothing_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    may_stop = trio.Event()

    async def work(scope: trio.CancelScope) -> None:
        tell_trio(scope.cancel)
        try:
            await forever()
        finally:
            await to_trio(after, may_stop)

    with trio.CancelScope() as scope:
        await asyncio_thread().run(work, scope, grace=0)
    assert scope.cancelled_caught
    assert "'work' did not stop" in caplog.text
    may_stop.set()


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def raises_cancelled() -> None:
    raise asyncio.CancelledError


async def exits_a_generator() -> None:
    raise GeneratorExit


async def raises_a_group() -> None:
    raise BaseExceptionGroup("several", [GeneratorExit()])


@pytest.mark.parametrize(
    "function", [cancels_itself, raises_cancelled, exits_a_generator, raises_a_group]
)
async def test_what_is_no_exception_becomes_one_that_names_the_task(function: Any) -> None:
    with pytest.raises(RuntimeError, match=f"'{function.__name__}'"):
        await asyncio_thread().run(function)


# From asyncio to trio.


async def test_an_async_function_runs_on_trio_for_asyncio() -> None:
    async def on_trio(number: int) -> tuple[int, str]:
        await trio.lowlevel.checkpoint()
        return number, colour.get()

    async def work() -> tuple[int, str]:
        colour.set("blue")
        return await to_trio(on_trio, 1)

    assert await asyncio_thread().run(work) == (1, "blue")


async def test_its_error_is_raised_on_asyncio() -> None:
    async def on_trio() -> None:
        raise KeyError("k")

    async def work() -> str:
        try:
            await to_trio(on_trio)
        except KeyError as error:
            return repr(error)
        return "none"

    assert await asyncio_thread().run(work) == "KeyError('k')"


async def test_an_exit_on_trio_is_an_error_on_asyncio_and_ends_neither_loop() -> None:
    async def on_trio() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match=r"'on_trio'.*SystemExit"):
        await asyncio_thread().run(to_trio, on_trio)
    assert await asyncio_thread().run(returns) == "late"


async def test_cancelling_on_asyncio_cancels_on_trio_and_waits(seen: Seen) -> None:
    started = trio.Event()

    async def on_trio() -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
            seen.append("trio stopped")

    async def work() -> None:
        task = asyncio.create_task(to_trio(on_trio))
        await to_trio(after, started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen.append("asyncio went on")

    await asyncio_thread().run(work)
    assert seen == ["trio stopped", "asyncio went on"]


async def test_what_asyncio_cancels_at_once_does_not_start_on_trio(seen: Seen) -> None:
    held = threading.Event()

    async def on_trio() -> None:
        seen.append("started")

    async def work() -> None:
        tell_trio(held.wait)  # trio finds both what follows and its cancelling
        task = asyncio.create_task(to_trio(on_trio))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        held.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    await asyncio_thread().run(work)
    assert seen == []


def through_to_thread(function: Callable[..., Any], *args: Any) -> Any:
    return asyncio.to_thread(wait_for_trio, function, *args)


def through_executor(function: Callable[..., Any], *args: Any) -> Any:
    return asyncio.get_running_loop().run_in_executor(None, wait_for_trio, function, *args)


@pytest.mark.parametrize("way", [through_to_thread, through_executor])
async def test_a_thread_of_asyncios_waits_for_trio(way: Any) -> None:
    async def on_trio(number: int) -> int:
        await trio.lowlevel.checkpoint()
        return number + 1

    async def fails() -> None:
        raise KeyError("k")

    async def work() -> int:
        with pytest.raises(KeyError):
            await way(fails)
        return int(await way(on_trio, 1))

    assert await asyncio_thread().run(work) == 2


async def test_any_thread_waits_for_trio_by_the_method() -> None:
    async def on_trio() -> str:
        await trio.lowlevel.checkpoint()
        return "done"

    thread = asyncio_thread()
    assert await trio.to_thread.run_sync(thread.wait_for_trio, on_trio) == "done"
    with pytest.raises(RuntimeError, match="works for it"):
        await trio.to_thread.run_sync(wait_for_trio, on_trio)


async def test_a_thread_of_a_pool_works_for_the_loop_in_a_copy_of_its_context() -> None:
    async def on_trio() -> str:
        await trio.lowlevel.checkpoint()
        return "done"

    async def work() -> str:
        with ThreadPoolExecutor() as pool:
            return await asyncio.wrap_future(
                pool.submit(contextvars.copy_context().run, wait_for_trio, on_trio)
            )

    assert await asyncio_thread().run(work) == "done"


async def test_waiting_for_trio_in_a_loop_is_refused() -> None:
    thread = asyncio_thread()

    async def work() -> None:
        wait_for_trio(trio.sleep, 0)

    with pytest.raises(RuntimeError, match="running loop"):
        await thread.run(work)
    with pytest.raises(RuntimeError, match="running loop"):
        thread.wait_for_trio(trio.sleep, 0)


async def test_another_loop_in_a_plain_thread_gets_to_trio_too() -> None:
    async def on_trio() -> str:
        await trio.lowlevel.checkpoint()
        return "done"

    thread = asyncio_thread()
    got = await trio.to_thread.run_sync(lambda: asyncio.run(thread.to_trio(on_trio)))
    assert got == "done"


async def test_what_cannot_await_stalls_the_loop_until_trio_is_done() -> None:
    order: list[str] = []

    async def on_trio() -> None:
        await trio.lowlevel.checkpoint()
        order.append("trio")

    async def work() -> None:
        asyncio.get_running_loop().call_soon(order.append, "loop")
        stall_for_trio(on_trio)
        await asyncio.sleep(0)

    await asyncio_thread().run(work)
    assert order == ["trio", "loop"]


async def test_what_is_told_is_called_in_order_before_the_call_returns(seen: Seen) -> None:
    async def work() -> None:
        for number in range(100):
            if number % 3:
                tell_trio(seen.append, str(number))
            else:
                tell_trio_later(number / 1000, seen.append, str(number))

    await asyncio_thread().run(work)
    assert seen == [str(number) for number in range(100)]


async def test_many_told_in_a_row_wake_trio_once() -> None:
    class Wakes(trio.abc.Instrument):
        count = 0

        def after_io_wait(self, timeout: float) -> None:
            self.count += 1

    wakes, held, counts = Wakes(), threading.Event(), []

    async def work() -> None:
        tell_trio(held.wait)
        for _ in range(1000):
            tell_trio(lambda: counts.append(wakes.count))
        held.set()

    trio.lowlevel.add_instrument(wakes)
    await asyncio_thread().run(work)
    assert len(counts) == 1000
    assert len(set(counts)) <= 2  # some may have come while trio was told of what held it


async def test_what_is_told_for_later_comes_though_nothing_follows(seen: Seen) -> None:
    told = trio.Event()

    async def work() -> None:
        tell_trio_later(60, seen.append, "told")
        tell_trio_later(0.001, told.set)
        await forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(asyncio_thread().run, work)
        await told.wait()
        assert seen == ["told"]
        nursery.cancel_scope.cancel()


async def test_a_told_function_that_fails_is_logged_and_stops_nothing(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise KeyError("k")

    async def work() -> str:
        tell_trio(broken)
        tell_trio(seen.append, "next")
        return "done"

    assert await asyncio_thread().run(work) == "done"
    assert seen == ["next"]
    [record] = caplog.records
    assert "'broken'" in record.getMessage()
    assert record.levelno == logging.ERROR


# Its death.


async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await forever()


async def exits() -> None:
    raise SystemExit(3)


async def is_interrupted() -> None:
    raise KeyboardInterrupt


DEATHS = {stops_the_loop: "stopped", exits: r"SystemExit\(3\)", is_interrupted: "KeyboardInterrupt"}


@pytest.mark.parametrize("function", DEATHS)
async def test_all_calls_fail_with_the_loop_and_the_next_starts_another(
    function: Any, seen: Seen
) -> None:
    other_runs, other_cancelled = trio.Event(), trio.Event()

    async def other() -> None:
        tell_trio(other_runs.set)
        try:
            await forever()
        finally:
            tell_trio(other_cancelled.set)

    async def call(work: Any) -> None:
        with pytest.raises(AsyncioThreadDied, match=DEATHS[function]):
            await thread.run(work)
        seen.append("call failed")

    thread = asyncio_thread()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, other)
        await other_runs.wait()
        nursery.start_soon(call, function)
    assert await asyncio_thread().run(returns) == "late"
    assert seen == ["call failed", "call failed"]
    await other_cancelled.wait()
    with pytest.raises(AsyncioThreadDied, match=DEATHS[function]):
        await thread.run(returns)


async def test_the_exit_is_the_cause() -> None:
    with pytest.raises(AsyncioThreadDied) as caught:
        await asyncio_thread().run(exits)
    assert isinstance(caught.value.__cause__, SystemExit)


async def test_what_asyncio_runs_on_trio_is_cancelled_when_its_loop_dies() -> None:
    started, cancelled = trio.Event(), trio.Event()

    async def on_trio() -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async def work() -> None:
        task = asyncio.create_task(to_trio(on_trio))
        await to_trio(after, started)
        assert not task.done()
        raise SystemExit

    with pytest.raises(AsyncioThreadDied):
        await asyncio_thread().run(work)
    await cancelled.wait()


async def test_a_thread_that_waits_for_trio_is_told_when_the_loop_dies() -> None:
    started, told = trio.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def on_trio() -> None:
        started.set()
        await trio.sleep_forever()

    def wait() -> None:
        try:
            wait_for_trio(on_trio)
        except AsyncioThreadDied:
            token.run_sync_soon(told.set)

    async def work() -> None:
        asyncio.get_running_loop().run_in_executor(None, wait)
        await to_trio(after, started)
        raise SystemExit

    with pytest.raises(AsyncioThreadDied):
        await asyncio_thread().run(work)
    await told.wait()


async def test_what_is_on_a_loop_that_dies_is_tidied_up(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    started, tidied, may_end = trio.Event(), trio.Event(), threading.Event()

    async def work() -> None:
        tell_trio(started.set)
        try:
            await forever()
        finally:
            await asyncio.to_thread(may_end.wait)
            tell_trio(tidied.set)

    async def call() -> None:
        with pytest.raises(AsyncioThreadDied):
            await asyncio_thread().run(work)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await started.wait()
        with pytest.raises(AsyncioThreadDied):
            await asyncio_thread().run(exits)
    await trio.testing.wait_all_tasks_blocked()
    may_end.set()
    await tidied.wait()
    assert "tidied up" not in caplog.text


# The end of the trio run.


def test_each_trio_run_has_its_own() -> None:
    async def main() -> tuple[AsyncioThread, int]:
        thread = asyncio_thread()
        return thread, await thread.run(thread_ident)

    async def around() -> None:
        outer, there = await main()
        inner, here = await trio.to_thread.run_sync(trio.run, main)
        assert inner is not outer
        assert here != there
        assert (await main())[0] is outer

    trio.run(around)


def test_what_is_left_on_the_loop_is_cancelled_with_the_trio_run(seen: Seen) -> None:
    threads: list[threading.Thread] = []
    tasks: list[Any] = []

    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            seen.append("generator closed")

    async def left() -> None:
        tasks.append(numbers())
        await anext(tasks[-1])
        try:
            await forever()
        finally:
            seen.append("task cancelled")

    async def work() -> None:
        threads.append(threading.current_thread())
        tasks.append(asyncio.create_task(left()))
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio_thread().run(work)
        assert seen == []

    trio.run(main)
    assert seen == ["task cancelled", "generator closed"]
    assert not threads[0].is_alive()


def test_what_was_left_behind_lives_until_the_trio_run_ends(seen: Seen) -> None:
    async def stubborn(scope: trio.CancelScope) -> None:
        tell_trio(scope.cancel)
        for end in ("cancelled", "cancelled at the end"):
            try:
                await forever()
            except asyncio.CancelledError:
                seen.append(end)

    async def main() -> None:
        with trio.CancelScope() as scope:
            await asyncio_thread().run(stubborn, scope, grace=0)
        await asyncio_thread().run(returns)
        gc.collect()

    trio.run(main)
    assert seen == ["cancelled", "cancelled at the end"]


def test_a_call_in_flight_fails_when_the_trio_run_ends(seen: Seen) -> None:
    running = trio.Event()

    async def work() -> None:
        tell_trio(running.set)
        try:
            await forever()
        finally:
            seen.append("task cancelled")

    async def call() -> None:
        with trio.CancelScope(shield=True):
            try:
                await asyncio_thread().run(work)
            except AsyncioThreadDied as died:
                seen.append(str(died))

    async def main() -> None:
        trio.lowlevel.spawn_system_task(call)
        await running.wait()

    trio.run(main)
    assert sorted(seen) == ["The trio run is over", "task cancelled"]


def test_nothing_is_run_on_trio_once_it_is_over(seen: Seen) -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            try:
                await to_trio(trio.sleep, 0)
            except AsyncioThreadDied:
                seen.append("refused")

    async def leave_behind() -> None:
        tasks.append(asyncio.create_task(work()))
        await asyncio.sleep(0)

    tasks: list[Any] = []

    async def main() -> AsyncioThread:
        await asyncio_thread().run(leave_behind)
        return asyncio_thread()

    thread = trio.run(main)
    assert seen == ["refused"]
    with pytest.raises(AsyncioThreadDied):
        thread.wait_for_trio(trio.sleep, 0)


def test_a_loop_that_is_blocked_holds_up_the_end_of_trio_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("greenroom.graph.asyncio_thread.STOP_TIME", 0.01)
    gate = threading.Event()
    threads: list[threading.Thread] = []

    async def loop() -> asyncio.AbstractEventLoop:
        threads.append(threading.current_thread())
        return asyncio.get_running_loop()

    async def main() -> None:
        (await asyncio_thread().run(loop)).call_soon_threadsafe(gate.wait)

    trio.run(main)
    assert "did not stop" in caplog.text
    gate.set()
    threads[0].join()


# Stalls.


async def test_a_call_that_blocks_the_loop_is_warned_of_once(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def block(gate: threading.Event) -> None:
        await asyncio.sleep(0)
        gate.wait()

    def waits(ident: int) -> bool:
        return sys._current_frames()[ident].f_code.co_filename == threading.__file__

    async def stall() -> None:
        gate = threading.Event()
        ident = await asyncio_thread().run(thread_ident)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asyncio_thread().run, block, gate)
            while not waits(ident):
                await trio.lowlevel.checkpoint()
            for _ in range(4):
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()

    await stall()
    [record] = caplog.records
    message = record.getMessage()
    assert record.levelno == logging.WARNING
    assert "asyncio task 'block' has blocked the asyncio loop for 1 s" in message
    assert f"{threading.__file__}:" in message  # where it waits

    mock_clock.jump(1)
    await trio.testing.wait_all_tasks_blocked()
    await stall()
    assert len(caplog.records) == 2


async def test_a_task_that_waits_is_not_warned_of(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    started, may_end = trio.Event(), trio.Event()

    async def work() -> None:
        tell_trio(started.set)
        await to_trio(after, may_end)

    thread = asyncio_thread()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, work)
        await started.wait()
        for _ in range(5):
            await thread.run(returns)  # the loop has come round
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
        may_end.set()
    assert caplog.text == ""


async def test_a_loop_that_has_nothing_to_do_is_not_warned_of(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert thread.ident is not None
    while sys._current_frames()[thread.ident].f_code.co_filename != selectors.__file__:
        await trio.lowlevel.checkpoint()
    # As where somebody turns trio's clock, it has not come to answer.
    watch = StallWatch(loop, thread, lambda _: None)
    watch.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.keep)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(1)
        nursery.cancel_scope.cancel()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert caplog.text == ""


async def test_while_nothing_is_in_flight_trio_sleeps(
    autojump_clock: trio.testing.MockClock,
) -> None:
    await asyncio_thread().run(returns)
    await trio.sleep(10)
    statistics = trio.lowlevel.current_statistics()
    assert statistics.seconds_to_next_deadline == float("inf")
