from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import attrs
import pytest

from greenroom.gateway import URLPolicy
from greenroom.gateway.config import (
    ConfigError,
    find_config,
    load_graphs,
    load_store,
    read_config,
)
from greenroom.graph import CompiledStateGraph
from greenroom.graph.declared import type_name

GRAPH = """
from __future__ import annotations

import os
from typing import TypedDict

from greenroom.graph import END, START, StateGraph


class State(TypedDict, total=False):
    text: str


builder = StateGraph(State)
builder.add_node("shout", lambda state: {"text": os.environ.get("WORD", "")})
builder.add_edge(START, "shout")
builder.add_edge("shout", END)
graph = builder.compile()
"""

BAD = """
from typing import TypedDict

from greenroom.graph import StateGraph


class State(TypedDict):
    text: str


text = "no graph"
builder = StateGraph(State)  # without a way in
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading changes the process; the test puts it back."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(GRAPH)
    return tmp_path


def written(folder: Path, name: str = "greenroom.json", **keys: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps({"graphs": {"agent": "./agent.py:graph"}, **keys}))
    return path


def loaded(folder: Path, **keys: Any) -> dict[str, CompiledStateGraph]:
    return load_graphs(read_config(written(folder, **keys)))


def load_everything(folder: Path, **keys: Any) -> None:
    config = read_config(written(folder, **keys))
    load_graphs(config)
    load_store(config)


def test_greenroom_json_is_found_before_langgraph_json(folder: Path) -> None:
    written(folder, "langgraph.json")
    assert find_config(folder).name == "langgraph.json"
    written(folder, "greenroom.json")
    assert find_config(folder).name == "greenroom.json"


def test_graphs_are_loaded_from_the_files_folder(folder: Path) -> None:
    graphs = loaded(folder, graphs={"one": "./agent.py:graph", "two": f"{folder}/agent.py:graph"})

    assert graphs["one"] is graphs["two"]
    assert graphs["one"].invoke({})["text"] == ""


def test_a_builder_is_compiled(folder: Path) -> None:
    graphs = loaded(folder, graphs={"agent": "./agent.py:builder"})

    assert isinstance(graphs["agent"], CompiledStateGraph)


def test_dependencies_are_folders_to_import_from(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "words_of_a_friend.py").write_text("WORD = 'hi'")
    (folder / "agent.py").write_text(f"{GRAPH}\nimport words_of_a_friend\n")

    assert loaded(folder, dependencies=["./lib", "some-package"])


def test_the_files_own_folder_is_one_to_import_from_and_hides_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    (folder / "lib").mkdir()
    (folder / "lib" / "words_of_another.py").write_text("WORD = 'hi'")
    (folder / "colorsys.py").write_text("raise RuntimeError('this is not the standard library')")
    (folder / "agent.py").write_text(f"{GRAPH}\nimport colorsys, lib.words_of_another\n")

    assert loaded(folder, dependencies=["./lib"])


def test_a_graph_file_does_not_hide_a_module_of_its_name(folder: Path) -> None:
    (folder / "json.py").write_text(GRAPH)
    loaded(folder, graphs={"agent": "./json.py:graph"})

    assert sys.modules["json"] is json


def test_environment_variables_are_set_before_the_graphs_are_imported(folder: Path) -> None:
    graphs = loaded(folder, env={"WORD": "from the map"})
    assert graphs["agent"].invoke({}) == {"text": "from the map"}


def test_environment_variables_come_from_a_file_too(folder: Path) -> None:
    (folder / ".env").write_text('# words\nWHERE=the file\nWORD="from ${WHERE}"\n')
    graphs = loaded(folder, env=".env")

    assert graphs["agent"].invoke({}) == {"text": "from the file"}


def test_what_the_process_was_given_outweighs_the_file(folder: Path) -> None:
    os.environ["WORD"] = "from outside"
    graphs = loaded(folder, env={"WORD": "from the map"})

    assert graphs["agent"].invoke({}) == {"text": "from outside"}


def test_keys_without_effect_are_named_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        store = {"ttl": {"typo": 1}, "x": {}}
        graphs = {"agent": {"path": "./agent.py:graph", "icon": "?"}}
        loaded(folder, graphs=graphs, webhooks={"url": {"x": 1}}, auth={"path": "x"}, store=store)

    (record,) = caplog.records
    assert record.getMessage().endswith(
        "these keys have no effect: "
        "auth, graphs.agent.icon, store.ttl.typo, store.x, webhooks.url.x"
    )


def test_what_is_for_an_editor_is_not_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_config(written(folder, **{"$schema": "https://langgra.ph/schema.json"}))

    assert not caplog.records


def test_keys_may_be_null(folder: Path) -> None:
    config = read_config(written(folder, store=None, checkpointer=None, http=None, webhooks=None))

    assert attrs.evolve(config, path=folder) == attrs.evolve(
        read_config(written(folder)), path=folder
    )


def test_a_graph_may_be_named_by_its_module(folder: Path) -> None:
    (folder / "lib" / "an_agent").mkdir(parents=True)
    (folder / "lib" / "an_agent" / "main.py").write_text(GRAPH)
    graphs = loaded(folder, graphs={"a": "an_agent.main:graph"}, dependencies=["./lib"])

    assert graphs["a"].invoke({}) == {"text": ""}


def test_a_graph_may_say_what_it_is_for(folder: Path) -> None:
    graphs = {
        "plain": "./agent.py:graph",
        "agent": {"path": "./agent.py:graph", "description": "Shouts"},
        "other": {"path": "./agent.py:graph"},
    }
    config = read_config(written(folder, graphs=graphs))

    assert config.descriptions == {"agent": "Shouts"}
    assert load_graphs(config).keys() == graphs.keys()


def test_a_file_of_variables_that_is_not_there_is_named_and_passed_over(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert loaded(folder, env=".env")["agent"].invoke({}) == {"text": ""}

    (record,) = caplog.records
    assert record.getMessage().endswith(f"there is no file {folder}/.env, which sets no variables")


def test_threads_live_as_long_as_the_file_says(folder: Path) -> None:
    ttl = {"strategy": "keep_latest", "default_ttl": 43200, "sweep_interval_minutes": 60}
    config = read_config(written(folder, checkpointer={"ttl": ttl}))
    assert config.checkpointer == {"ttl": ttl}
    assert read_config(written(folder)).checkpointer == {}
    assert read_config(written(folder, checkpointer={"ttl": {}})).checkpointer == {"ttl": {}}


def test_runs_take_as_long_as_the_file_says(folder: Path) -> None:
    assert read_config(written(folder, run_timeout=0.5)).run_timeout == 0.5
    assert read_config(written(folder, run_timeout=None)).run_timeout is None
    assert read_config(written(folder)).run_timeout == 3600


def test_events_are_kept_as_long_as_the_file_says(folder: Path) -> None:
    assert read_config(written(folder, event_ttl=60)).event_ttl == 60
    assert read_config(written(folder, event_ttl=None)).event_ttl is None
    assert read_config(written(folder)).event_ttl == 24 * 3600


def test_as_many_events_are_kept_as_the_file_says(folder: Path) -> None:
    assert read_config(written(folder, max_kept_events=5)).max_kept_events == 5
    assert read_config(written(folder)).max_kept_events == 10_000


def test_runs_may_be_posted_to_where_the_file_says(folder: Path) -> None:
    assert read_config(written(folder)).webhooks == URLPolicy()
    assert read_config(written(folder, webhooks={})).webhooks == URLPolicy()
    https = read_config(written(folder, webhooks={"url": {}})).webhooks
    assert https == URLPolicy(require_https=True)
    given = {"require_https": False, "allowed_networks": ["10.0.0.0/8"], "allowed_ports": [80]}
    assert read_config(written(folder, webhooks={"url": given})).webhooks == URLPolicy(
        allowed_networks=(ip_network("10.0.0.0/8"),), allowed_ports=[80]
    )


def test_posts_have_the_headers_of_the_file_with_variables_in_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LG_WEBHOOK_TOKEN", "of the process")
    headers = {"X-Plain": "$1", "X-Two": "${{ env.LG_WEBHOOK_A }}/${{env.LG_WEBHOOK_TOKEN}}"}
    env = {"LG_WEBHOOK_A": "a\\1", "LG_WEBHOOK_TOKEN": "of the file"}
    config = read_config(written(folder, env=env, webhooks={"headers": headers}))
    assert config.webhook_headers == {"X-Plain": "$1", "X-Two": "a\\1/of the process"}

    own = {"env_prefix": "MY_", "headers": {"authorization": "Bearer ${{ env.MY_KEY }}"}}
    config = read_config(written(folder, env={"MY_KEY": "k"}, webhooks=own))
    assert config.webhook_headers == {"authorization": "Bearer k"}
    assert read_config(written(folder)).webhook_headers == {}


def test_the_server_answers_as_the_file_says(folder: Path) -> None:
    cors = {"allow_origins": ["https://chat.example"], "max_age": 60}
    disabled = {"disable_store": True, "disable_mcp": True, "disable_a2a": False}
    http = {"cors": cors, "mount_prefix": "/agents", **disabled}
    assert read_config(written(folder, http=http)).http == http
    assert read_config(written(folder)).http == {}


def test_limits_are_as_the_file_says(folder: Path) -> None:
    http = {
        "max_body_size": 1000,
        "body_timeout": 2.5,
        "max_open_streams": 3,
        "max_header_size": 2000,
    }
    config = read_config(written(folder, http=http, max_queued_runs=5))
    assert (config.http, config.max_queued_runs) == (http, 5)
    assert read_config(written(folder)).max_queued_runs == 1000


def test_the_store_is_as_the_file_says(folder: Path) -> None:
    code = "count = 0\n\ndef letters(texts):\n    return [[float(len(text))] for text in texts]\n"
    (folder / "agent.py").write_text(f"{GRAPH}\n{code}")
    ttl = {"default_ttl": 60, "refresh_on_read": False, "sweep_interval_minutes": 1.5}
    index = {"embed": "./agent.py:letters", "dims": 1, "fields": ["text"]}
    config = read_config(written(folder, store={"index": index, "ttl": ttl}))
    graphs = load_graphs(config)
    store = load_store(config)

    assert store["ttl"] == ttl
    assert store["index"]["embed"](["abc"]) == [[3.0]]
    assert {**store["index"], "embed": None} == {**index, "embed": None}
    # The file was imported once: the graph and the function share its globals.
    assert store["index"]["embed"].__globals__["graph"] is graphs["agent"]


def test_embeddings_of_langchain_s_are_asked_for_the_vectors_of_items(folder: Path) -> None:
    pytest.importorskip("langchain_core", reason="langchain-core is not there")
    code = """
from langchain_core.embeddings import Embeddings

class Lengths(Embeddings):
    def embed_documents(self, texts):
        return [[float(len(text))] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]

made = Lengths()
"""
    (folder / "vectors.py").write_text(code)
    index = {"embed": "./vectors.py:made", "dims": 1}
    config = read_config(written(folder, store={"index": index}))
    assert load_store(config)["index"]["embed"](["abc"]) == [[3.0]]


def test_a_file_that_says_nothing_of_the_store_leaves_it_as_it_is(folder: Path) -> None:
    assert load_store(read_config(written(folder))) == {}
    assert load_store(read_config(written(folder, store={"ttl": {}}))) == {"ttl": {}}


def test_files_whose_paths_are_nearly_the_same_are_two(folder: Path) -> None:
    for name in ("a-b", "a_b"):
        (folder / f"{name}.py").write_text(GRAPH)
    one, two = loaded(folder, graphs={"x": "./a-b.py:graph", "y": "./a_b.py:graph"}).values()

    assert one is not two


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"graphs": {}}, "graphs: names no graph"),
        ({"graphs": {"a": 5}}, "graphs[...]: expected string"),
        (
            {"graphs": {"a": "agent.py"}},
            "graphs.a: expected './file.py:attribute' or 'module:attribute', got 'agent.py'",
        ),
        ({"graphs": {"a": "./agent.ts:graph"}}, "graphs.a: expected './file.py:attribute' or"),
        (
            {"graphs": {"a": "nobodys.module:graph"}},
            "graphs.a: importing nobodys.module failed: ModuleNotFoundError: No module named 'nobo",
        ),
        ({"graphs": {"a": "json:graph"}}, "graphs.a: json has no attribute 'graph'"),
        ({"graphs": {"a": {"path": 5}}}, "graphs[...].path: expected string"),
        ({"graphs": {"a": {}}}, "graphs[...].path: required, and missing"),
        ({"graphs": {"a": "./bad.py:State"}}, "'State' in {folder}/bad.py is a typing._TypedDict"),
        ({"graphs": {"a": "./no.py:graph"}}, "graphs.a: there is no file {folder}/no.py"),
        ({"graphs": {"a": "./agent.py:no"}}, "graphs.a: {folder}/agent.py has no attribute 'no'"),
        ({"graphs": {"a": "./agent.py:os"}}, "'os' in {folder}/agent.py is a module, no compiled"),
        ({"graphs": {"a": "./bad.py:text"}}, "'text' in {folder}/bad.py is a str, no compiled"),
        ({"graphs": {"a": "./bad.py:builder"}}, "'builder' in {folder}/bad.py does not compile: "),
        ({"dependencies": ["./nowhere"]}, "dependencies: there is no folder {folder}/nowhere"),
        ({"dependencies": "."}, 'dependencies: expected array, got "."'),
        ({"env": "."}, "cannot read {folder}: Is a directory"),
        ({"env": 5}, "env: expected string or object, got 5"),
        ({"store": 5}, "store: expected object or null, got 5"),
        ({"store": {"index": {"dims": 3}}}, "store.index.embed: required, and missing"),
        (
            {"store": {"index": {"embed": "x.py:f", "dims": 0}}},
            "store.index.dims: expected integer",
        ),
        ({"store": {"ttl": {"default_ttl": 0}}}, "store.ttl.default_ttl: expected number"),
        ({"run_timeout": 0}, "run_timeout: expected"),
        ({"event_ttl": 0}, "event_ttl: expected"),
        ({"max_kept_events": 0}, "max_kept_events: expected"),
        ({"webhooks": {"url": {"allowed_ports": [0]}}}, "webhooks.url.allowed_ports[0]: expected"),
        (
            {"webhooks": {"url": {"allowed_networks": ["10.0.0.1/8"]}}},
            "webhooks.url.allowed_networks: 10.0.0.1/8 has host bits set",
        ),
        (
            {"webhooks": {"headers": {"X-A": "${{ env.HOME }}"}}},
            "webhooks.headers.X-A: HOME does not begin with LG_WEBHOOK_",
        ),
        (
            {"webhooks": {"headers": {"X-A": "${{ env.LG_WEBHOOK_NO }}"}}},
            "webhooks.headers.X-A: the environment has no LG_WEBHOOK_NO",
        ),
        (
            {"webhooks": {"headers": {"X-A": "a\r\nX-B: b"}}},
            "webhooks.headers.X-A: only printable",
        ),
        ({"webhooks": {"headers": {"X A": "a"}}}, "webhooks.headers.X A: no name of a header"),
        ({"webhooks": {"headers": {"Host": "a"}}}, "webhooks.headers.Host: no name of a header"),
        ({"webhooks": {"env_prefix": ""}}, "webhooks.env_prefix: expected"),
        ({"checkpointer": {"ttl": {"default_ttl": 0}}}, "checkpointer.ttl.default_ttl: expected"),
        ({"checkpointer": {"ttl": {"strategy": "x"}}}, "checkpointer.ttl.strategy: "),
        ({"http": {"mount_prefix": "agents"}}, "http.mount_prefix: expected"),
        (
            {"http": {"cors": {"allow_origins": "*"}}},
            "http.cors.allow_origins: expected array or null, got",
        ),
        ({"http": {"cors": {"max_age": -1}}}, "http.cors.max_age: expected integer"),
        ({"http": {"max_body_size": 0}}, "http.max_body_size: expected integer"),
        ({"http": {"body_timeout": 0}}, "http.body_timeout: expected number"),
        ({"http": {"max_open_streams": 0}}, "http.max_open_streams: expected integer"),
        ({"http": {"max_header_size": 1023}}, "http.max_header_size: expected integer"),
        ({"max_queued_runs": 0}, "max_queued_runs: expected integer >= 1, got 0"),
        (
            {"store": {"index": {"embed": "openai:text-embedding-3-small"}}},
            "store.index.embed: 'openai:text-embedding-3-small': langchain cannot make it: ",
        ),
        (
            {"store": {"index": {"embed": "./agent.py:no"}}},
            "store.index.embed: {folder}/agent.py has no attribute 'no'",
        ),
        (
            {"store": {"index": {"embed": "./bad.py:text"}}},
            "store.index.embed: 'text' in {folder}/bad.py is a str, no function",
        ),
        ({"env": "bad.env"}, "env: {folder}/bad.env: line 2: expected NAME=value, got 'what'"),
    ],
)
def test_a_configuration_that_cannot_be_used(folder: Path, keys: dict[str, Any], text: str) -> None:
    (folder / "bad.py").write_text(BAD)
    (folder / "bad.env").write_text("A=1\nwhat\n")

    with pytest.raises(ConfigError) as caught:
        load_everything(folder, **keys)

    assert text.format(folder=folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_configuration_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^no greenroom\.json or langgraph\.json in /"):
        find_config(tmp_path)


def test_broken_json_is_placed(folder: Path) -> None:
    path = folder / "greenroom.json"
    path.write_text('{"graphs": {\n  "agent": ./agent.py\n}}')

    with pytest.raises(ConfigError, match=r"greenroom\.json: broken JSON at line 2, column 12"):
        read_config(path)


def test_a_missing_graphs_key_is_named(folder: Path) -> None:
    path = folder / "greenroom.json"
    path.write_text("{}")

    with pytest.raises(ConfigError, match=r"greenroom\.json: graphs: required, and missing"):
        read_config(path)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "import helper_of_mine\n",
            "RuntimeError: no key at {folder}/helper_of_mine.py, line 2: "
            "raise RuntimeError('no key')",
        ),
        (
            "import a_module_that_nobody_has\n",
            "ModuleNotFoundError: No module named 'a_module_that_nobody_has' "
            "at {folder}/agent.py, line 1: import a_module_that_nobody_has",
        ),
        (
            "x = 1\ndef node(:\n",
            "SyntaxError: invalid syntax at {folder}/agent.py, line 2: def node(:",
        ),
        (
            "import sys\nsys.exit('bye')\n",
            "SystemExit: bye at {folder}/agent.py, line 2: sys.exit('bye')",
        ),
    ],
)
def test_an_import_that_fails_shows_its_last_frame(folder: Path, source: str, text: str) -> None:
    (folder / "helper_of_mine.py").write_text("# a\nraise RuntimeError('no key')\n")
    (folder / "agent.py").write_text(source)

    with pytest.raises(ConfigError) as caught:
        loaded(folder, dependencies=["."])

    assert str(caught.value).endswith(text.format(folder=folder))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two, of the same content."""
    for folder in (found := [tmp_path / "here", tmp_path / "there"]):
        folder.mkdir()
        (folder / "agent.py").write_text(GRAPH)
    return found


def test_stored_objects_are_known_wherever_the_configuration_lies(folders: list[Path]) -> None:
    names = []
    for folder in folders:
        graph = loaded(folder)["agent"]
        names.append(type_name(graph.state_schema))
        del sys.modules[graph.state_schema.__module__]  # it is another process that serves the next
    assert names[0] == names[1]


def test_files_of_the_same_name_in_two_configurations_are_two_modules(folders: list[Path]) -> None:
    schemas = [loaded(folder)["agent"].state_schema for folder in folders]
    assert [sys.modules[schema.__module__].State for schema in schemas] == schemas
