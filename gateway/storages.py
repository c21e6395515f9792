"""What `--storage` names."""

from __future__ import annotations

from pathlib import Path

from greenroom.storage import MemoryStorage, SqliteStorage, Storage

from .config import ConfigError

__all__ = ["storage_at"]


def storage_at(name: str, option: str = "--storage") -> tuple[Storage, str]:
    """The storage, and where it is for people. Raises ConfigError."""
    if name == "memory":
        return MemoryStorage(), "in memory, until this process ends"
    scheme, separator, _ = name.partition("://")
    if separator and scheme in ("postgres", "postgresql"):
        raise ConfigError(f"{option}: PostgreSQL comes in a later version; give a SQLite file")
    if separator:
        raise ConfigError(f"{option}: expected `memory` or the path of a SQLite file, got {name}")
    return SqliteStorage(name), str(Path(name).resolve())
