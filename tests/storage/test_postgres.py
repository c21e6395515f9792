"""PostgreSQL: the contract."""

from __future__ import annotations

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")

from greenroom.storage.postgres import PostgresStorage
from greenroom.storage.testing import StorageContract


class TestPostgresStorage(StorageContract):
    @pytest.fixture
    def new_storage(self, dsn):
        return lambda: PostgresStorage(dsn)
