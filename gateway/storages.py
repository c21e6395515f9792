"""What `--storage` names."""

from __future__ import annotations

from pathlib import Path

from greenroom.storage import MemoryStorage, SqliteStorage, Storage

from .config import ConfigError

__all__ = ["storage_at"]


def storage_at(
    name: str, option: str = "--storage", *, lease_time: float | None = None
) -> tuple[Storage, str]:
    """The storage, and where it is for people. Raises ConfigError."""
    scheme, separator, _ = name.partition("://")
    if separator and scheme in ("postgres", "postgresql"):
        return _postgres(name, option, lease_time)
    if lease_time is not None:
        raise ConfigError("--lease-time: only PostgreSQL has a lease that runs out")
    if name == "memory":
        return MemoryStorage(), "in memory, until this process ends"
    if separator:
        raise ConfigError(
            f"{option}: expected `memory`, the path of a SQLite file or postgresql://…, "
            f"got {scheme}://…"
        )
    return SqliteStorage(name), str(Path(name).resolve())


def _postgres(dsn: str, option: str, lease_time: float | None) -> tuple[Storage, str]:
    try:
        from greenroom.storage.postgres import LEASE_TIME, PostgresStorage
    except ImportError as error:
        raise ConfigError(
            f"{option}: PostgreSQL needs psycopg ({error}): pip install 'greenroom[postgres]'"
        ) from error
    storage = PostgresStorage(dsn, lease_time=LEASE_TIME if lease_time is None else lease_time)
    return storage, storage.address.name
