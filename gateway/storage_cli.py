"""The command line: `greenroom storage …`, for looking after what is stored."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from greenroom.storage import SqliteStorage, Storage, StorageError
from greenroom.storage.blocking import BlockingSession
from greenroom.storage.checking import check
from greenroom.storage.transfer import Record, everything, from_lines, how_many, take_in, to_lines

from .config import ConfigError
from .storages import storage_at

__all__ = ["storage_commands"]

F = TypeVar("F", bound=Callable[..., Any])

STEP: Final = 100  # records between two looks at the progress bar


@click.group(name="storage")
def storage_commands() -> None:
    """Look after what is stored.

    `stats`, `check` and `export` work beside a server that is running; the others need the store
    for themselves.
    """


def _storage_option(command: F) -> F:
    return click.option(
        "--storage",
        "place",
        default="greenroom.db",
        show_default=True,
        help="The path of a SQLite file, or where else things are stored.",
    )(command)


@storage_commands.command()
@_storage_option
def stats(place: str) -> None:
    """Show what there is and how large it is."""
    with _opened(place) as (storage, _):
        found = storage.stats()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for name, counts in (("threads", found.threads), ("runs", found.runs), ("log", found.log)):
        parts = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        table.add_row(name, str(sum(counts.values())), parts)
    for name, number in (
        ("events", found.events),
        ("assistants", found.assistants),
        ("assistant versions", found.assistant_versions),
        ("crons", found.crons),
        ("posts", found.posts),
        ("items", found.items),
    ):
        table.add_row(name, str(number), "")
    for name, size in found.bytes.items():
        table.add_row(f"bytes of {name}", str(size), "")
    for name, text in (("oldest thread", found.oldest), ("last change", found.newest)):
        table.add_row(name, "", text or "none")
    table.add_row("in use by", "", found.holder or "nobody")
    Console(highlight=False, markup=False, soft_wrap=True).print(table)


@storage_commands.command(name="check")
@_storage_option
def check_command(place: str) -> None:
    """Read every record, and say what is damaged; status 1 if something is."""
    damaged = 0
    with (
        _opened(place) as (storage, name),
        _progress("checked", how_many(storage.stats())) as advance,
    ):
        for fault in check(storage, advance):
            damaged += 1
            click.echo(fault)
    if damaged:
        click.echo(f"greenroom: {damaged} faults in {name}", err=True)
        sys.exit(1)
    click.echo(f"greenroom: {name} is sound", err=True)


@storage_commands.command()
@_storage_option
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="[default: standard output]"
)
def export(place: str, output: Path | None) -> None:
    """Write everything as JSON lines.

    A file has its name when it is complete. An export that was cut short is made again.
    """
    with (
        _opened(place) as (storage, _),
        _progress("exported", how_many(storage.stats())) as advance,
    ):
        lines = to_lines(_counted(everything(storage), advance))
        if output is None:
            for line in lines:
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        else:
            _write(output, lines)


@storage_commands.command(name="import")
@_storage_option
@click.argument("source", type=click.File("rb"))
def import_command(place: str, source: BinaryIO) -> None:
    """Take in what `export` wrote, from a file or from `-`.

    What is there already is passed over, so that an import that was cut short is simply made again.
    """
    name = getattr(source, "name", "the input")
    total = _lines_of(source)
    with _held(place) as target, _progress("imported", total) as advance:
        records = _counted(from_lines(source, name), advance)
        take_in(records, target.storage, target.commit)


@storage_commands.command()
@_storage_option
@click.option("--to", required=True, help="Where everything is to be, as `--storage` takes it.")
def migrate(place: str, to: str) -> None:
    """Copy everything to another store. One that was cut short is simply made again."""
    with (
        _held(place, made=True) as source,
        _held(to, "--to") as target,
        _progress("copied", how_many(source.storage.stats())) as advance,
    ):
        records = _counted(everything(source.storage), advance)
        take_in(records, target.storage, target.commit)


@storage_commands.command()
@_storage_option
def vacuum(place: str) -> None:
    """Give back the space of what was deleted."""
    with _held(place, made=True) as session:
        session.vacuum()


@contextmanager
def _problems() -> Iterator[None]:
    """Those of storage are a line each."""
    try:
        yield
    except (ConfigError, StorageError) as error:
        raise click.ClickException(str(error)) from error


def _storage_at(place: str, option: str) -> tuple[Storage, str]:
    """A storage, and where it is for people."""
    storage, name = storage_at(place, option)
    if not storage.blocking:
        raise ConfigError(f"{option}: nothing is kept in {place}")
    return storage, name


@contextmanager
def _opened(place: str) -> Iterator[tuple[Storage, str]]:
    """A storage to read from, and where it is for people."""
    with _problems():
        storage, name = _storage_at(place, "--storage")
        storage.open()
        try:
            yield storage, name
        finally:
            storage.close()


@contextmanager
def _held(
    place: str, option: str = "--storage", *, made: bool = False
) -> Iterator[BlockingSession]:
    """A storage to write to. `made`: a file must be there already."""
    with _problems():
        storage, _ = _storage_at(place, option)
        if made and isinstance(storage, SqliteStorage) and not storage.path.exists():
            raise StorageError(f"{storage.path} does not exist")
        owner = f"greenroom storage, process {os.getpid()} on {platform.node()}"
        with BlockingSession(storage, owner=owner) as session:
            yield session


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """A progress bar on stderr, where that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda number: bar.advance(task, number)


def _counted(records: Iterable[Record], advance: Callable[[int], object]) -> Iterator[Record]:
    for number, record in enumerate(records, 1):
        yield record
        if number % STEP == 0:
            advance(STEP)


def _write(output: Path, lines: Iterable[bytes]) -> None:
    part = output.with_name(f"{output.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            for line in lines:
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error


def _lines_of(file: BinaryIO) -> int | None:
    """How many lines a file has, if it can be read twice."""
    if not file.seekable():
        return None
    number = sum(1 for _ in file)
    file.seek(0)
    return number
