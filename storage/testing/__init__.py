"""What every storage backend must do, as pytest tests, and faults to test with.

Subclass `StorageContract` in a test module, under a name that pytest collects, and say how a
storage is made. For readable failures, call `pytest.register_assert_rewrite` with the name of this
module in the conftest beside it.

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def new_storage(self, tmp_path):
            return lambda: MyStorage(tmp_path / "data")

`FaultyStorage` wraps any storage and fails, waits or dies where a test wants it to.
"""

from __future__ import annotations

from .assistants import AssistantContract
from .care import CareContract
from .commits import CommitContract
from .crons import CronContract
from .faults import Crashed, FaultyStorage, Gate
from .inputs import InputContract
from .items import ItemContract
from .lists import ListContract
from .logs import LogContract
from .making import (
    make_assistant,
    make_checkpoint_row,
    make_cron,
    make_event,
    make_item,
    make_list_row,
    make_post,
    make_run,
    make_thread,
    make_writes_row,
)
from .orders import OrderContract
from .searches import SearchContract

__all__ = [
    "Crashed",
    "FaultyStorage",
    "Gate",
    "StorageContract",
    "make_assistant",
    "make_checkpoint_row",
    "make_cron",
    "make_event",
    "make_item",
    "make_list_row",
    "make_post",
    "make_run",
    "make_thread",
    "make_writes_row",
]


class StorageContract(
    CommitContract,
    OrderContract,
    SearchContract,
    LogContract,
    ListContract,
    InputContract,
    ItemContract,
    AssistantContract,
    CronContract,
    CareContract,
):
    """The whole suite. `new_storage` makes storage objects over the same data, one after the other;
    where the data lives in the object, it returns the same one."""
