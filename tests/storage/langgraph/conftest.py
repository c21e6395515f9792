import pytest

from greenroom.storage import MemoryStorage, SqliteStorage
from greenroom.storage.langgraph import BlockingSession, GreenroomSaver


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def new_storage(request, tmp_path):
    """Makes storage objects, each with data of its own."""
    made = iter(range(1000))
    if request.param == "memory":
        return MemoryStorage
    if request.param == "sqlite":
        return lambda: SqliteStorage(tmp_path / f"{next(made)}.db")
    server = request.getfixturevalue("postgres")
    from greenroom.storage.postgres import PostgresStorage

    return lambda: PostgresStorage(server.emptied())


@pytest.fixture
def session(new_storage):
    with BlockingSession(new_storage()) as session:
        yield session


@pytest.fixture
def saver(session):
    return GreenroomSaver(session)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "threads.db"


@pytest.fixture
def opened(path):
    """Opens the store at `path`, again and again, as a program does that is started again."""

    def opened(types=()):
        return BlockingSession(SqliteStorage(path), types=types)

    return opened
