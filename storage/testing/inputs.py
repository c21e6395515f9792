"""What a checkpoint's START is to take in, which is often the input of a run."""

from __future__ import annotations

import pytest

from ..codec import encode
from ..operations import AppendLog, DeleteRun, DeleteThread, InsertThread, PutRun, TruncateLog
from .making import Open, OpenStorage, make_checkpoint_row, make_run, make_thread

__all__ = ["InputContract"]

GIVEN = {"messages": ["hello", "ü \x00 \ud800", 1.0, (1, 2)]}
OTHER = {"messages": ["bye"]}


class InputContract(OpenStorage):
    """The input of a checkpoint is read as it was appended, whatever becomes of the run."""

    @pytest.fixture
    def running(self, opened: Open) -> Open:
        """A run with an input, and a checkpoint that takes it in."""
        opened.commit(
            InsertThread(make_thread()),
            PutRun(make_run(kwargs={"input": GIVEN, "config": {}})),
            _append(1, GIVEN, "r"),
        )
        return opened

    def test_the_input_of_a_checkpoint_is_read_while_its_run_is_there(self, running: Open) -> None:
        assert _inputs(running) == [encode(GIVEN)]
        run = running.storage.get_run("t", "r")
        assert run is not None
        assert run.kwargs == {"input": GIVEN, "config": {}}

    def test_the_input_of_a_checkpoint_outlives_its_run(self, running: Open) -> None:
        running.commit(
            PutRun(make_run("s", seq=2, kwargs={"input": OTHER})), _append(2, OTHER, "s")
        )
        running.commit(DeleteRun("t", "r"))
        assert _inputs(running) == [encode(GIVEN), encode(OTHER)]
        running.commit(DeleteRun("t", "s"))
        assert _inputs(running) == [encode(GIVEN), encode(OTHER)]

    def test_a_run_that_is_put_again_keeps_its_input_and_the_log_too(self, running: Open) -> None:
        running.commit(PutRun(make_run(status="success", kwargs={"input": GIVEN, "config": {}})))
        assert _inputs(running) == [encode(GIVEN)]
        running.commit(
            PutRun(make_run(status="error", kwargs={"input": OTHER, "config": {"a": 1}}))
        )
        assert _inputs(running) == [encode(GIVEN)]
        run = running.storage.get_run("t", "r")
        assert run is not None
        assert run.status == "error"
        assert run.kwargs == {"input": GIVEN, "config": {"a": 1}}

    def test_a_new_run_of_a_deleted_ones_id_changes_no_input(self, running: Open) -> None:
        running.commit(DeleteRun("t", "r"), PutRun(make_run(kwargs={"input": OTHER})))
        assert _inputs(running) == [encode(GIVEN)]
        running.commit(_append(2, OTHER, "r"), DeleteRun("t", "r"))
        assert _inputs(running) == [encode(GIVEN), encode(OTHER)]

    def test_an_input_that_is_not_its_runs_is_kept_as_it_is(self, running: Open) -> None:
        running.commit(
            PutRun(make_run("none", seq=2)),
            _append(2, OTHER, "r"),
            _append(3, GIVEN, "none"),
            _append(4, GIVEN, "unknown"),
            _append(5, GIVEN, None),
            _append(6, None, None),
        )
        expected = [*(encode(one) for one in (GIVEN, OTHER, GIVEN, GIVEN, GIVEN)), None]
        assert _inputs(running) == expected
        running.commit(DeleteRun("t", "r"), DeleteRun("t", "none"))
        assert _inputs(running) == expected

    def test_an_input_that_is_null_is_an_input(self, opened: Open) -> None:
        opened.commit(
            InsertThread(make_thread()),
            PutRun(make_run(kwargs={"input": None})),
            PutRun(make_run("none", seq=2)),
            AppendLog((make_checkpoint_row(1, "c1", input=b"null", run_id="r"),)),
            AppendLog((make_checkpoint_row(2, "c2"),)),
        )
        assert _inputs(opened) == [b"null", None]
        assert [run.kwargs for run in opened.storage.list_runs("t")] == [{}, {"input": None}]

    def test_a_run_of_the_same_id_on_another_thread_has_no_part_in_it(self, running: Open) -> None:
        running.commit(
            InsertThread(make_thread("u")),
            PutRun(make_run(thread_id="u", kwargs={"input": GIVEN})),
            AppendLog((make_checkpoint_row(1, "c1", thread_id="u", input=encode(GIVEN)),)),
        )
        running.commit(DeleteRun("u", "r"))
        assert _inputs(running) == [encode(GIVEN)]
        running.commit(DeleteThread("t"))
        assert _inputs(running, "u") == [encode(GIVEN)]

    def test_inputs_and_other_records_come_in_one_group_and_are_cut_alike(
        self, running: Open
    ) -> None:
        running.commit(
            AppendLog(
                (
                    make_checkpoint_row(2, "c2"),
                    make_checkpoint_row(3, "c3", input=encode(GIVEN), run_id="r"),
                    make_checkpoint_row(4, "c4"),
                    make_checkpoint_row(5, "c5", input=encode(OTHER), run_id="r"),
                ),
                follows=1,
            )
        )
        assert _inputs(running) == [
            encode(GIVEN),
            None,
            encode(GIVEN),
            None,
            encode(OTHER),
        ]
        running.commit(TruncateLog("t", 3), DeleteRun("t", "r"))
        assert _inputs(running) == [encode(GIVEN), None]


def _append(seq: int, given: object, run_id: str | None) -> AppendLog:
    text = None if given is None else encode(given)
    return AppendLog((make_checkpoint_row(seq, f"c{seq}", input=text, run_id=run_id),))


def _inputs(opened: Open, thread_id: str = "t") -> list[bytes | None]:
    """Of every checkpoint of a thread, the oldest first."""
    page = opened.storage.read_history(thread_id, "", limit=None)
    return [row.input for row in page.checkpoints]
