import pytest

from greenroom.storage import SqliteStorage
from greenroom.storage.testing import StorageContract


class TestSqliteStorage(StorageContract):
    @pytest.fixture
    def new_storage(self, tmp_path):
        return lambda: SqliteStorage(tmp_path / "greenroom.db")
