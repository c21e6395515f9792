"""The configuration file: which graphs are served, and what they need."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import StringIO
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import attrs
import msgspec
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from starlette.applications import Starlette

from greenroom.actors import CheckpointerConfig
from greenroom.graph import StateGraph
from greenroom.graph.adoption import adopted, made_by
from greenroom.graph.contract import Graph
from greenroom.graph.store import StoreConfig

from .app import HttpConfig
from .config_keys import Keys, NamedGraph, Webhooks, WebhookURL
from .decoding import DecodingError, decode
from .own import OwnRoutes
from .webhooks import URLPolicy

__all__ = [
    "Config",
    "ConfigError",
    "find_config",
    "load_graphs",
    "load_own",
    "load_store",
    "read_config",
]

logger = logging.getLogger(__name__)

FILE_NAMES: Final = ("greenroom.json", "langgraph.json")
PREFIX: Final = "greenroom_graphs_"  # of the names of modules that hold graphs

HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
OWN_HEADERS: Final = ("connection", "content-length", "content-type", "host", "transfer-encoding")
# An editor's, which a server has no use for.
SILENT: Final = ("$schema",)
BROUGHT: Final = ("langchain_core", "langgraph")  # by the extra `langgraph`
VARIABLE: Final = re.compile(r"\$\{\{\s*env\.(\w+)\s*\}\}")


class ConfigError(Exception):
    """The configuration cannot be used; the text is one line that says why."""


@attrs.frozen(kw_only=True)
class Config:
    """What a configuration file says.

    `graphs`: name to `./file.py:attribute` or `module:attribute`. `descriptions`: what the graphs
    are for, by name, of those that say it. `dependencies`: folders to import from. `env`:
    environment variables. `store`: as `StoreConfig`, but for `embed`, which is named as graphs
    are. `checkpointer`: how threads are kept. `run_timeout`: seconds that a run
    may take, `event_ttl`: seconds that events are kept; None for no limit. `max_kept_events`: how
    many events of a run are kept. `max_queued_runs`: how many runs of a thread may wait.
    `webhooks`: where runs may be posted to, `webhook_headers`: with which headers. `http`: how the
    server answers. `app`: the user's own routes, named as graphs are. Relative paths are relative
    to the file's folder.
    """

    path: Path
    graphs: Mapping[str, str]
    descriptions: Mapping[str, str]
    dependencies: tuple[Path, ...]
    env: Mapping[str, str]
    store: Mapping[str, Mapping[str, Any]]
    checkpointer: CheckpointerConfig
    run_timeout: float | None
    event_ttl: float | None
    max_kept_events: int
    webhooks: URLPolicy
    webhook_headers: Mapping[str, str]
    http: HttpConfig
    app: str | None
    max_queued_runs: int


def find_config(folder: Path) -> Path:
    """The configuration file of a folder. Raises ConfigError."""
    for name in FILE_NAMES:
        if (path := folder / name).is_file():
            return path
    raise ConfigError(f"no {' or '.join(FILE_NAMES)} in {folder}")


def read_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError."""
    data = _read(path)
    try:
        keys = decode(data, Keys)
    except DecodingError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not keys.graphs:
        raise ConfigError(f"{path}: graphs: names no graph")
    if unknown := sorted(_unknown(msgspec.json.decode(data), keys)):
        logger.warning("%s: these keys have no effect: %s", path, ", ".join(unknown))
    folder = path.resolve().parent
    http, env, webhooks = (
        _given(keys.http),
        _env(path, folder, keys.env),
        keys.webhooks or Webhooks(),
    )
    graphs = {
        name: NamedGraph(path=given) if isinstance(given, str) else given
        for name, given in keys.graphs.items()
    }
    return Config(
        path=path,
        graphs={name: graph.path for name, graph in graphs.items()},
        descriptions={
            name: graph.description
            for name, graph in graphs.items()
            if graph.description is not None
        },
        dependencies=tuple(_dependencies(path, folder, keys.dependencies)),
        env=env,
        store=_given(keys.store),
        checkpointer=cast(CheckpointerConfig, _given(keys.checkpointer)),
        run_timeout=keys.run_timeout,
        event_ttl=keys.event_ttl,
        max_kept_events=keys.max_kept_events,
        webhooks=_policy(path, webhooks.url),
        webhook_headers=_headers(path, webhooks, {**env, **os.environ}),
        app=http.pop("app", None),
        http=cast(HttpConfig, http),
        max_queued_runs=keys.max_queued_runs,
    )


def load_graphs(config: Config) -> dict[str, Graph]:
    """Import the graphs, by the paths in the user's own configuration.

    First sets the environment variables that are not set yet, and puts the dependencies at the head
    of `sys.path` and the configuration's folder at its end. A `StateGraph` is compiled. Raises
    ConfigError.
    """
    for name, value in config.env.items():
        os.environ.setdefault(name, value)
    for folder in reversed(config.dependencies):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if (home := str(config.path.resolve().parent)) not in sys.path:
        sys.path.append(home)
    return {
        name: _graph(name, *_named(config, f"graphs.{name}", source))
        for name, source in config.graphs.items()
    }


def load_store(config: Config) -> StoreConfig:
    """How the store is to be; after `load_graphs`. Raises ConfigError."""
    store = {name: dict(keys) for name, keys in config.store.items()}
    if "index" in store:
        store["index"]["embed"] = _embed(config, store["index"]["embed"])
    return cast(StoreConfig, store)


def _embed(config: Config, source: str) -> Callable[..., Any]:
    """A function, embeddings of langchain's, or what makes those of a model: `openai:…`."""
    key = "store.index.embed"
    provider, _, model = source.partition(":")
    if provider.isidentifier() and model and not model.isidentifier():
        shown = f"{config.path}: {key}: {source!r}"
        try:
            embed = importlib.import_module("langchain.embeddings").init_embeddings(source)
        except Exception as error:  # langchain or the provider's package is not there, or no key
            raise ConfigError(f"{shown}: langchain cannot make it: {error}") from error
    else:
        embed, shown = _named(config, key, source)
    embed = getattr(embed, "embed_documents", embed)
    if not callable(embed):
        raise ConfigError(f"{shown} is a {type(embed).__name__}, no function")
    return cast("Callable[..., Any]", embed)


def _policy(path: Path, url: WebhookURL | None) -> URLPolicy:
    if url is None:
        return URLPolicy()
    try:
        networks = tuple(ip_network(network) for network in url.allowed_networks)
    except ValueError as error:
        raise ConfigError(f"{path}: webhooks.url.allowed_networks: {error}") from None
    return URLPolicy(**{**attrs.asdict(url), "allowed_networks": networks})


def _headers(path: Path, keys: Webhooks, env: Mapping[str, str]) -> dict[str, str]:
    """The headers of webhooks, with the values of the variables that they name."""
    found = {}
    for name, template in keys.headers.items():
        where = f"{path}: webhooks.headers.{name}"
        for variable in VARIABLE.findall(template):
            if not variable.startswith(keys.env_prefix):
                raise ConfigError(f"{where}: {variable} does not begin with {keys.env_prefix}")
            if variable not in env:
                raise ConfigError(f"{where}: the environment has no {variable}")
        if not HEADER.fullmatch(name) or name.lower() in OWN_HEADERS:
            raise ConfigError(f"{where}: no name of a header that may be set")
        found[name] = VARIABLE.sub(lambda named: env[named[1]], template)
        if not found[name].isascii() or not found[name].isprintable():
            raise ConfigError(f"{where}: only printable ASCII characters can be sent")
    return found


def load_own(config: Config) -> OwnRoutes | None:
    """The user's own routes; after `load_graphs`. Raises ConfigError."""
    if config.app is None:
        return None
    app, shown = _named(config, "http.app", config.app)
    if not isinstance(app, Starlette):
        raise ConfigError(f"{shown} is a {type(app).__name__}, no Starlette or FastAPI application")
    return OwnRoutes(app)


def _given(keys: Any) -> dict[str, Any]:
    if keys is None:
        return {}
    return attrs.asdict(keys, filter=lambda _, value: value is not None)


def _unknown(given: Mapping[str, Any], keys: Any, prefix: str = "") -> Iterator[str]:
    known = {field.name: getattr(keys, field.name) for field in attrs.fields(type(keys))}
    for name, value in given.items():
        inner = known.get(name)
        if name not in known:
            if name not in SILENT:
                yield prefix + name
        elif isinstance(value, dict) and attrs.has(type(inner)):
            yield from _unknown(value, inner, f"{prefix}{name}.")
        elif isinstance(inner, dict):
            for key, one in inner.items():
                if attrs.has(type(one)):
                    yield from _unknown(value[key], one, f"{prefix}{name}.{key}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def _dependencies(path: Path, folder: Path, entries: list[str]) -> list[Path]:
    found = []
    for entry in entries:
        # The others are packages by name: installing them is not a server's work.
        if entry.startswith((".", "/")):
            if not (folder / entry).is_dir():
                raise ConfigError(f"{path}: dependencies: there is no folder {folder / entry}")
            found.append((folder / entry).resolve())
    return found


def _env(path: Path, folder: Path, env: dict[str, str] | str) -> Mapping[str, str]:
    if isinstance(env, dict):
        return env
    file = folder / env
    if not file.exists():  # it is kept out of repositories, and its variables come from outside
        logger.warning("%s: env: there is no file %s, which sets no variables", path, file)
        return {}
    try:
        text = _read(file).decode()
        lines = list(parse_stream(StringIO(text)))
    except ValueError as error:
        raise ConfigError(f"{path}: env: {file}: {error}") from None
    for line in lines:
        if line.error or (line.key is not None and line.value is None):
            where = f"{path}: env: {file}: line {line.original.line}"
            raise ConfigError(f"{where}: expected NAME=value, got {line.original.string.strip()!r}")
    values = dotenv_values(stream=StringIO(text))  # with `${NAME}` filled in
    return {name: value for name, value in values.items() if value is not None}


def _named(config: Config, key: str, source: str) -> tuple[Any, str]:
    """What `./file.py:attribute` or `module:attribute` names, and how it is called in errors."""
    where = f"{config.path}: {key}"
    place, colon, attribute = source.rpartition(":")
    is_file = place.endswith(".py")
    is_module = all(part.isidentifier() for part in place.split("."))
    if not ((is_file or is_module) and colon and attribute.isidentifier()):
        raise ConfigError(
            f"{where}: expected './file.py:attribute' or 'module:attribute', got {source!r}"
        )
    if is_file:
        path = (config.path.resolve().parent / place).resolve()
        module, shown = _of_file(path, place, where), str(path)
    else:
        module, shown = _imported(place, where, partial(importlib.import_module, place)), place
    try:
        return getattr(module, attribute), f"{where}: {attribute!r} in {shown}"
    except AttributeError:
        raise ConfigError(f"{where}: {shown} has no attribute {attribute!r}") from None


def _of_file(path: Path, file: str, where: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{where}: there is no file {path}")
    for name, known in sys.modules.items():
        if name.startswith(PREFIX) and known.__file__ == str(path):
            return known
    # Under a name of its own, so that a user's `json.py` hides nothing; in `sys.modules`, because
    # annotations are resolved there. Stored objects name it: it is the same wherever the
    # configuration lies, unless two of them are served by one process.
    name = f"{PREFIX}{_identifier(os.path.normpath(file))}"
    if name in sys.modules:
        name += _identifier(str(path))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    loader = spec.loader
    assert loader is not None
    module = importlib.util.module_from_spec(spec)

    def load() -> ModuleType:
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return _imported(str(path), where, load)


def _imported(shown: str, where: str, load: Callable[[], ModuleType]) -> ModuleType:
    try:
        return load()
    except (Exception, SystemExit) as error:
        if _wants_extra(error):
            raise ConfigError(_needs_extra(f"{where}: {shown}")) from error
        raise ConfigError(f"{where}: importing {shown} failed: {_last_frame(error)}") from error


def _wants_extra(error: BaseException) -> bool:
    return isinstance(error, ModuleNotFoundError) and error.name in BROUGHT


def _needs_extra(shown: str) -> str:
    return f"{shown} needs the extra: pip install greenroom[langgraph]"


def _identifier(path: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]", "_", path)


def _last_frame(error: BaseException) -> str:
    problem = "".join(traceback.format_exception_only(error)[-1:]).strip()
    if isinstance(error, SyntaxError):
        text = (error.text or "").strip()
        return f"{problem} at {error.filename}, line {error.lineno}: {text}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib") and frame.filename != __file__
    ]
    if not frames:
        return problem
    return f"{problem} at {frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line}"


def _graph(name: str, value: object, shown: str) -> Graph:
    try:
        if isinstance(value, StateGraph):
            return value.compile()
        if callable(value) and not isinstance(value, type):
            return made_by(name, value)
        return adopted(name, value)
    except TypeError:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise ConfigError(f"{shown} is a {kind}, no compiled graph") from None
    except Exception as error:
        if _wants_extra(error):
            raise ConfigError(_needs_extra(shown)) from error
        raise ConfigError(f"{shown} does not compile: {error}") from error
