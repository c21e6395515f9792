"""Serving anew when the user's code or configuration changes: for development."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, NoReturn

import attrs
from watchfiles import Change, awatch

from .config import Config

__all__ = ["Watch", "begin_again", "has_begun_again"]

SKIPPED: Final = ("node_modules", "__pycache__", "site-packages")
MOST: Final = 1000  # folders
FIRST_LOOK: Final = 500  # milliseconds
RELOADED: Final = "GREENROOM_RELOADED"  # set where this process has begun again


@attrs.define
class Watch:
    """Python files and configuration in some folders and below them, as they are when this is made.
    `what`: the file that has changed."""

    config: Path
    roots: Sequence[Path]
    what: str | None = None
    _seen: dict[str, int] = attrs.field(init=False)

    @_seen.default
    def _look(self) -> dict[str, int]:
        """When each was changed last."""
        return {
            entry.path: entry.stat().st_mtime_ns
            for folder in self._folders()
            for entry in os.scandir(folder)
            if self._matters(Change.modified, entry.path) and entry.is_file()
        }

    @classmethod
    def of(cls, path: Path, config: Config | None = None) -> Watch:
        """Of the folder of a configuration file and, where it can be read, of those that it
        names."""
        folder = path.resolve().parent
        if config is None:
            return cls(path, [folder])
        files = [(folder / source.rpartition(":")[0]).parent for source in config.graphs.values()]
        return cls(path, [folder, *config.dependencies, *files])

    async def changed(self) -> None:
        """Until one of them has."""
        watching = awatch(
            *self._folders(),
            watch_filter=self._matters,
            recursive=False,
            yield_on_timeout=True,
            rust_timeout=FIRST_LOOK,
        )
        looked = False
        async with aclosing(watching) as batches:
            async for changes in batches:
                paths = {path for _, path in changes}
                if not looked:  # what has changed before the watch began
                    paths |= {path for path, _ in self._look().items() ^ self._seen.items()}
                    looked = True
                if paths:
                    self.what = min(paths)
                    return

    def _matters(self, change: Change, path: str) -> bool:
        return path.endswith(".py") or Path(path).name in (self.config.name, ".env")

    def _folders(self) -> Iterator[Path]:
        found: set[Path] = set()
        for root in self.roots:
            for at, below, files in os.walk(root):
                folder = Path(at).resolve()
                if folder in found or "pyvenv.cfg" in files:
                    below.clear()
                    continue
                below[:] = [n for n in below if n not in SKIPPED and not n.startswith(".")]
                found.add(folder)
                yield folder
                if len(found) == MOST:
                    return


def has_begun_again() -> bool:
    return RELOADED in os.environ


def begin_again() -> NoReturn:
    """Put this process's program in its place, from the start."""
    os.environ[RELOADED] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
