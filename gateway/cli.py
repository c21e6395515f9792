"""The command line: `greenroom dev`, `greenroom serve` and `greenroom storage`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import trio
from rich.console import Console

from greenroom.storage import StorageError

from .access import is_loopback
from .config import ConfigError, find_config, load_graphs, load_own, load_store, read_config
from .logs import LEVELS, LogFormat, set_up_logging
from .reloading import Watch, begin_again, has_begun_again
from .server import ListenError, serve
from .storage_cli import storage_commands
from .storages import storage_at
from .webhooks import WebhookPoster

__all__ = ["main"]

F = TypeVar("F", bound=Callable[..., Any])


class _OneLineErrors(click.Group):
    """Every problem ends in one line on stderr and exit status 2."""

    def main(self, args: Any = None, *, standalone_mode: bool = True, **extra: Any) -> Any:  # type: ignore[override]
        try:
            result = super().main(args, standalone_mode=False, **extra)
        except click.ClickException as error:
            _fail(error.format_message())
        except click.Abort:
            sys.exit(130)
        if standalone_mode:
            sys.exit(result or 0)
        return result


def _fail(text: str) -> NoReturn:
    click.echo(f"greenroom: {' '.join(text.split())}", err=True)
    sys.exit(2)


@click.group(cls=_OneLineErrors, invoke_without_command=True)
@click.version_option(package_name="greenroom")
@click.pass_context
def main(context: click.Context) -> None:
    """An actor runtime for stateful agents."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


main.add_command(storage_commands)


def _server_options(command: F) -> F:
    options = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="The configuration file.  [default: greenroom.json, else langgraph.json]",
        ),
        click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=2024,
            show_default=True,
            help="Where to listen; 0 finds a free port.",
        ),
        click.option(
            "--storage",
            default="greenroom.db",
            show_default=True,
            help="`memory`, the path of a SQLite file, or postgresql://user:password@host/name.",
        ),
        click.option(
            "--lease-time",
            type=float,
            metavar="SECONDS",
            help="How long a PostgreSQL database waits for a process that has fallen silent before "
            "another one may take over.  [default: 30]",
        ),
        click.option(
            "--run-timeout",
            type=float,
            metavar="SECONDS",
            help="How long a run may take, outweighing the configuration.  [default: 3600]",
        ),
        click.option(
            "--api-key",
            envvar="GREENROOM_API_KEY",
            metavar="KEY",
            help="What callers must show, as x-api-key or as a bearer token; better given as the "
            "environment variable GREENROOM_API_KEY, which others on the machine do not see.",
        ),
        click.option(
            "--insecure",
            is_flag=True,
            help="Serve other machines although there is no API key.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(LEVELS),
            default="info",
            show_default=True,
            help="What is logged, to stderr: this, and what is worse.",
        ),
        click.option(
            "--log-format",
            type=click.Choice(("text", "json")),
            default="text",
            show_default=True,
            help="Lines to read, or a JSON object a line.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_server_options
@click.option(
    "--reload/--no-reload",
    default=True,
    show_default=True,
    help="Begin again when Python files or the configuration change.",
)
def dev(**options: Any) -> None:
    """Serve for development: pages of any origin may call it, and every request is logged."""
    _run(develop=True, **options)


@main.command(name="serve")
@_server_options
def serve_command(**options: Any) -> None:
    """Serve."""
    _run(develop=False, **options)


def _run(
    *,
    config: Path | None,
    host: str,
    port: int,
    storage: str,
    lease_time: float | None,
    run_timeout: float | None,
    api_key: str | None,
    insecure: bool,
    log_level: str,
    log_format: LogFormat,
    develop: bool,
    reload: bool = False,
) -> None:
    if run_timeout is not None and not run_timeout > 0:
        _fail(f"run_timeout: expected more than 0 s, got {run_timeout:g}")
    set_up_logging(log_format, log_level)
    watch = None
    try:
        if not (api_key or insecure or is_loopback(host)):
            raise ConfigError(
                f"--host: other machines can reach {host}: set GREENROOM_API_KEY, or say --insecure"
            )
        path = config or find_config(Path.cwd())
        watch = Watch.of(path) if reload else None
        read = read_config(path)
        watch = Watch.of(path, read) if reload else None
        http = read.http
        if develop:
            http = {"cors": {"allow_origins": ["*"]}, "log_requests": True, **http}
        if reload:
            # Python takes a file for the one it has compiled if second and size are the same.
            sys.dont_write_bytecode = True
        graphs, store, own = load_graphs(read), load_store(read), load_own(read)
        kept_in, place = storage_at(storage, lease_time=lease_time)

        def ready(url: str) -> None:
            _announce(url, list(graphs), place)

        async def run() -> None:
            await serve(
                graphs,
                descriptions=read.descriptions,
                storage=kept_in,
                store=store,
                checkpointer=read.checkpointer,
                run_timeout=run_timeout or read.run_timeout,
                event_ttl=read.event_ttl,
                max_kept_events=read.max_kept_events,
                poster=WebhookPoster(read.webhooks, read.webhook_headers),
                max_queued_runs=read.max_queued_runs,
                host=host,
                port=port,
                http=http,
                own=own,
                api_key=api_key or None,
                until=None if watch is None else watch.changed,
                ready=ready,
            )

        trio.run(run)
    except (ConfigError, ListenError, StorageError) as error:
        if watch is None or not has_begun_again():
            _fail(str(error))
        click.echo(f"greenroom: {error}; waiting for a change", err=True)
        trio.run(watch.changed)
    if watch is not None and watch.what is not None:
        click.echo(f"greenroom: {watch.what} has changed", err=True)
        begin_again()


def _announce(url: str, graphs: list[str], place: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    lines = [
        ("Greenroom serves", url),
        ("graphs", ", ".join(graphs)),
        ("data", place),
        ("try", f"curl -X POST {url}/threads -H 'Content-Type: application/json' -d '{{}}'"),
    ]
    for label, text in lines:
        console.print(f"{label:<18}", style="green", end="")
        console.print(text, markup=False)
