import pytest

from greenroom.storage import MemoryStorage
from greenroom.storage.testing import StorageContract


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def new_storage(self):
        storage = MemoryStorage()
        return lambda: storage
