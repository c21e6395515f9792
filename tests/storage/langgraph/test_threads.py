"""The order of checkpoints and writes, and threads that are written anew."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from langgraph.checkpoint.base import empty_checkpoint

from greenroom.storage import AppendLog, InsertThread, StorageError
from greenroom.storage.langgraph import BlockingSession, GreenroomSaver
from greenroom.storage.testing import make_checkpoint_row, make_thread

LONG = [{"text": "x" * 300, "n": n} for n in range(4)]


def config(thread_id="t", ns="", checkpoint_id=None):
    place = {"thread_id": thread_id, "checkpoint_ns": ns}
    return {"configurable": place | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}


def put(saver, checkpoint_id, parent=None, *, ns="", thread_id="t", run_id=None, **values):
    versions = dict.fromkeys(values, int(checkpoint_id[1:]))
    checkpoint = empty_checkpoint() | {
        "id": checkpoint_id,
        "channel_values": values,
        "channel_versions": versions,
    }
    metadata = {"source": "loop", "step": 1, "run_id": run_id}
    return saver.put(config(thread_id, ns, parent), checkpoint, metadata, versions)


def ids(saver, **place):
    return [one.checkpoint["id"] for one in saver.list(config(**place))]


def values(saver, checkpoint_id, **place):
    found = saver.get_tuple(config(checkpoint_id=checkpoint_id, **place))
    return found.checkpoint["channel_values"]


def test_a_checkpoint_that_comes_late_is_listed_where_it_belongs(saver):
    put(saver, "c1", items=LONG[:1])
    put(saver, "c2", "c1", items=LONG[:2])
    put(saver, "c4", "c2", items=LONG[:4])
    saver.put_writes(config(checkpoint_id="c2"), [("x", 1)], "task")
    put(saver, "c3", "c2", items=LONG[:3])
    assert ids(saver) == ["c4", "c3", "c2", "c1"]
    for n in (1, 2, 3, 4):
        assert values(saver, f"c{n}") == {"items": LONG[:n]}
    assert saver.get_tuple(config()).checkpoint["id"] == "c4"
    assert saver.get_tuple(config(checkpoint_id="c2")).pending_writes == [("task", "x", 1)]
    put(saver, "c5", "c4", items=[*LONG, "last"])
    assert values(saver, "c5") == {"items": [*LONG, "last"]}


def test_a_thread_that_is_copied_newest_first_comes_out_in_order(saver):
    for n in (4, 3, 2, 1):
        put(saver, f"c{n}", f"c{n - 1}" if n > 1 else None, items=LONG[:n])
    assert ids(saver) == ["c4", "c3", "c2", "c1"]
    assert [len(values(saver, f"c{n}")["items"]) for n in (1, 2, 3, 4)] == [1, 2, 3, 4]
    parents = [one.parent_config for one in saver.list(config())]
    assert parents == [config(checkpoint_id=one) for one in ("c3", "c2", "c1")] + [None]


def test_a_checkpoint_that_is_put_again_is_replaced(saver):
    put(saver, "c1", items=LONG[:1])
    put(saver, "c2", "c1", items=LONG[:2])
    put(saver, "c1", items=["other"])
    assert ids(saver) == ["c2", "c1"]
    assert (values(saver, "c1"), values(saver, "c2")) == ({"items": ["other"]}, {"items": LONG[:2]})
    put(saver, "c2", "c1", items=[])
    assert ids(saver) == ["c2", "c1"]
    assert values(saver, "c2") == {"items": []}


@pytest.mark.parametrize(
    ("version", "new_versions"),
    [(1, {"x": 1}), (2, {}), (2, {"x": 2})],
    ids=["new", "moved", "both"],
)
def test_a_channel_is_stored_again_if_it_is_new_or_its_version_moved(saver, version, new_versions):
    put(saver, "c1", x="before")
    checkpoint = empty_checkpoint() | {
        "id": "c2",
        "channel_values": {"x": "after"},
        "channel_versions": {"x": version},
    }
    saver.put(config(checkpoint_id="c1"), checkpoint, {}, new_versions)
    assert values(saver, "c2") == {"x": "after"}
    assert values(saver, "c1") == {"x": "before"}


def test_what_follows_the_newest_is_the_newest_though_the_clock_went_back(saver):
    put(saver, "c5", n=5)
    put(saver, "c6", "c5", n=6)
    for n in (2, 22):
        put(saver, "c2", "c6", n=n)
        assert ids(saver) == ["c2", "c6", "c5"]
        assert saver.get_tuple(config()).checkpoint["channel_values"] == {"n": n}


def test_branches_that_take_turns_do_not_mix(saver):
    put(saver, "c1", items=LONG[:1])
    for n, parent, value in (
        (2, "c1", "left"),
        (3, "c1", "right"),
        (4, "c2", "left"),
        (5, "c3", "right"),
        (6, "c4", "left"),
    ):
        checkpoint = empty_checkpoint() | {
            "id": f"c{n}",
            "channel_values": {"x": value, "items": [*LONG, value]},
            "channel_versions": {"x": 2, "items": 2},  # the same number on both
        }
        new = {"x": 2, "items": 2} if parent == "c1" else {}
        saver.put(config(checkpoint_id=parent), checkpoint, {}, new)
    for n, parent, value in ((2, 1, "left"), (3, 1, "right"), (4, 2, "left"), (5, 3, "right")):
        found = saver.get_tuple(config(checkpoint_id=f"c{n}"))
        assert found.parent_config == config(checkpoint_id=f"c{parent}")
        assert found.checkpoint["channel_values"] == {"x": value, "items": [*LONG, value]}


class Slow(BlockingSession):
    """Leaves commits on their way while `slow`."""

    slow = False

    def wait(self, group):
        if not self.slow:
            super().wait(group)


def test_a_thread_that_is_made_while_it_is_being_deleted_is_there(new_storage):
    with Slow(new_storage()) as session:
        saver = GreenroomSaver(session)
        put(saver, "c1", n=1)
        session.slow = True
        saver.delete_thread("t")
        session.slow = False
        put(saver, "c2", n=2)
        assert ids(saver) == ["c2"]


def test_a_branch_of_an_inner_graph_is_whole_though_others_are_on_their_way(new_storage):
    with Slow(new_storage()) as session:
        saver = GreenroomSaver(session)
        put(saver, "c1", ns="inner", n=1)
        session.slow = True
        put(saver, "c2", "c1", ns="inner", n=2)
        put(saver, "c1", n=0)
        put(saver, "c3", "c1", ns="inner", n=3)
        session.slow = False
        put(saver, "c4", "c3", ns="inner", n=4)
        found = [one.checkpoint["channel_values"]["n"] for one in saver.list(config(ns="inner"))]
        assert found == [4, 3, 2, 1]


def test_savers_on_one_session_take_turns(saver, session):
    other = GreenroomSaver(session)
    for n in range(1, 7):
        put((saver, other)[n % 2], f"c{n}", f"c{n - 1}" if n > 1 else None, items=LONG[:n])
    assert ids(saver) == ids(other) == ["c6", "c5", "c4", "c3", "c2", "c1"]
    assert values(saver, "c4") == {"items": LONG}


def test_a_session_that_is_opened_again_sees_what_others_did_in_between(opened):
    session = opened()
    saver = GreenroomSaver(session)
    with session:
        put(saver, "c1", n=1)
    with opened() as between:
        put(GreenroomSaver(between), "c2", "c1", n=2)
    with session:
        put(saver, "c3", "c2", n=3)
        assert ids(saver) == ["c3", "c2", "c1"]


def test_writes_come_in_the_order_of_their_tasks(saver):
    at = put(saver, "c1")
    saver.put_writes(at, [("x", "late"), ("y", "later")], "a", "~2")
    saver.put_writes(at, [("x", "early")], "b", "~1")
    saver.put_writes(at, [("x", "by id")], "0", "~2")
    assert [value for _, _, value in saver.get_tuple(at).pending_writes] == [
        "early",
        "by id",
        "late",
        "later",
    ]


def test_the_first_write_of_a_task_stays_but_its_last_answer_counts(saver):
    at = put(saver, "c1")
    saver.put_writes(at, [("x", 1), ("__resume__", "no")], "task")
    saver.put_writes(at, [("x", 2), ("__resume__", "yes")], "task")
    assert saver.get_tuple(at).pending_writes == [("task", "__resume__", "yes"), ("task", "x", 1)]


def test_writes_may_come_before_their_checkpoint(saver):
    saver.put_writes(config(checkpoint_id="c1"), [("x", 1)], "task")
    assert saver.get_tuple(config()) is None
    put(saver, "c1")
    assert saver.get_tuple(config()).pending_writes == [("task", "x", 1)]


@pytest.fixture
def restless():
    """Threads of Python take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_threads_of_python_that_put_at_once_lose_nothing(saver):
    at = put(saver, "c1", n=1)
    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(saver.put_writes, at, [("x", n)], f"{n:03}") for n in range(100)] + [
            pool.submit(put, saver, "c1", thread_id=f"t{n}", n=n) for n in range(20)
        ]
    for done in tasks:
        done.result()
    assert [value for _, _, value in saver.get_tuple(at).pending_writes] == list(range(100))
    assert [values(saver, "c1", thread_id=f"t{n}")["n"] for n in range(20)] == list(range(20))


def test_before_is_a_place_in_the_list_or_a_time(saver):
    for n in range(1, 6):
        put(saver, f"c{n}", f"c{n - 1}")
    put(saver, "c2", ns="inner")
    put(saver, "c4", ns="inner")

    def before(bound, limit=None, **place):
        found = saver.list(config(**place), before=config(checkpoint_id=bound), limit=limit)
        return [one.checkpoint["id"] for one in found]

    assert before("c4") == ["c3", "c2", "c1"]
    assert before("c4", limit=1) == ["c3"]
    assert before("c3", ns="inner") == ["c2"]
    assert before("c9", limit=0) == []
    assert before("c4", checkpoint_id="c3") == ["c3"]
    assert before("c3", checkpoint_id="c3") == []


def test_the_history_of_a_channel_is_found_far_back(saver):
    put(saver, "c01", x=[1])
    at = put(saver, "c02", "c01")
    saver.put_writes(at, [("x", [2])], "task")
    for n in range(3, 60):
        put(saver, f"c{n:02}", f"c{n - 1:02}")
    put(saver, "c90", "c02")
    for checkpoint_id in ("c59", "c90"):
        found = saver.get_delta_channel_history(
            config=config(checkpoint_id=checkpoint_id), channels=["x"]
        )
        assert found == {"x": {"seed": [1], "writes": [("task", "x", [2])]}}


def test_a_thread_may_be_called_by_a_number(saver):
    assert put(saver, "c1", thread_id=7)["configurable"]["thread_id"] == 7
    assert ids(saver, thread_id="7") == ids(saver, thread_id=7) == ["c1"]
    saver.delete_thread(7)
    assert ids(saver, thread_id="7") == []


def test_a_long_history_is_read_page_by_page(saver, session):
    for n in range(1, 131):
        put(saver, f"c{n:03}", f"c{n - 1:03}" if n > 1 else None, n=n, all=list(range(n)))
    found = list(saver.list(config()))
    assert [one.checkpoint["channel_values"]["n"] for one in found] == list(range(130, 0, -1))
    assert [len(one.checkpoint["channel_values"]["all"]) for one in found[:3]] == [130, 129, 128]
    assert len(list(saver.list(config(), limit=45))) == 45
    for n in (1, 50, 51, 130):  # none is put together from too many
        assert len(session.storage.read_checkpoint("t", "", f"c{n:03}").checkpoints) <= 50


def test_all_threads_are_listed_without_a_config_but_not_those_of_greenroom(saver, session):
    put(saver, "c1", thread_id="a")
    put(saver, "c1", thread_id="b", ns="inner")
    session.wait(session.submit([InsertThread(make_thread("ours"))]))
    found = [one.config["configurable"] for one in saver.list(None)]
    assert {(one["thread_id"], one["checkpoint_ns"]) for one in found} == {
        ("a", ""),
        ("b", "inner"),
    }


def test_a_thread_of_greenroom_is_refused_by_name(saver, session):
    row = attrs.evolve(
        make_checkpoint_row(1, "c1", thread_id="ours"),
        data=b'{"about":{"step":0,"source":"loop"},"nth":1,"metadata":{}}',
    )
    session.wait(session.submit([InsertThread(make_thread("ours")), AppendLog((row,))]))
    with pytest.raises(StorageError, match="ours was made by"):
        put(saver, "c2", thread_id="ours")
    with pytest.raises(StorageError, match="ours was made by"):
        saver.get_tuple(config("ours"))


def test_a_copy_has_all_and_goes_its_own_way(saver):
    at = put(saver, "c1", items=LONG[:2])
    put(saver, "c2", "c1", items=LONG[:3])
    put(saver, "c1", ns="inner", n=1)
    saver.put_writes(at, [("x", 1)], "task")
    saver.copy_thread("t", "copy")
    put(saver, "c3", "c2", thread_id="copy", items=LONG)
    assert ids(saver) == ["c2", "c1"]
    assert ids(saver, thread_id="copy") == ["c3", "c2", "c1"]
    assert values(saver, "c3", thread_id="copy") == {"items": LONG}
    assert values(saver, "c1", thread_id="copy", ns="inner") == {"n": 1}
    copied = saver.get_tuple(config("copy", checkpoint_id="c1"))
    assert copied.pending_writes == [("task", "x", 1)]
    with pytest.raises(StorageError, match="'copy' exists"):
        saver.copy_thread("t", "copy")
    with pytest.raises(StorageError, match="no thread 'nobody'"):
        saver.copy_thread("nobody", "other")


def test_a_run_is_forgotten_out_of_the_middle(saver):
    put(saver, "c1", run_id="one", items=LONG[:1], other=1)
    at = put(saver, "c2", "c1", run_id="two", items=LONG[:2], other=1)
    saver.put_writes(at, [("x", 1)], "task")
    put(saver, "c3", "c2", run_id="one", items=LONG[:3], other=1)
    put(saver, "c2", ns="inner", run_id="two")
    saver.delete_for_runs(["two"])
    assert ids(saver) == ["c3", "c1"]
    assert ids(saver, ns="inner") == []
    assert values(saver, "c3") == {"items": LONG[:3], "other": 1}
    put(saver, "c4", "c3", items=LONG, other=1)
    assert values(saver, "c4") == {"items": LONG, "other": 1}
    assert saver.get_tuple(config(checkpoint_id="c2")) is None
    put(saver, "c2", "c1")
    assert saver.get_tuple(config(checkpoint_id="c2")).pending_writes == []


def test_a_deleted_thread_begins_anew(saver):
    put(saver, "c5", items=LONG)
    saver.delete_thread("t")
    assert ids(saver) == []
    put(saver, "c1", items=LONG[:1])
    assert ids(saver) == ["c1"]


def test_versions_that_are_strings_go_on_as_strings(saver):
    version = "00000000000000000000000000000003.0.25"
    assert saver.get_next_version(version, None) > version
    later = saver.get_next_version(saver.get_next_version(version, None), None)
    assert int(later) == 5
    assert [saver.get_next_version(one, None) for one in (None, 1)] == [1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda saver: saver.get_tuple({"configurable": {}}), "thread_id is missing"),
        (lambda saver: saver.put_writes(config(), [], "task"), "checkpoint_id is missing"),
        (lambda saver: saver.prune(["t"], strategy="some"), "got 'some'"),
        (lambda saver: put(saver, "c1", **{"~version/x": 1}), "'~version/x'"),
    ],
)
def test_wrong_arguments_are_named(saver, call, message):
    with pytest.raises(Exception, match=message):
        call(saver)
    assert ids(saver) == []
