"""Looking at a graph: its nodes and edges, as JSON and as Mermaid text."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import pytest

from greenroom.graph import END, START, Command, StateGraph


class State(TypedDict, total=False):
    value: Any


async def stay(state: State) -> State:
    return {}


async def route(state: State) -> Any:
    return END


def builder(*nodes: str) -> StateGraph:
    graph = StateGraph(State)
    for name in nodes:
        graph.add_node(name, stay)
    return graph


def chain(*nodes: Any) -> StateGraph:
    graph = StateGraph(State).add_sequence(nodes)
    first, last = (n if isinstance(n, str) else n[0] for n in (nodes[0], nodes[-1]))
    return graph.add_edge(START, first).add_edge(last, END)


def edges(graph: Any, **options: Any) -> list[tuple[str, str]]:
    return [(edge.source, edge.target) for edge in graph.get_graph(**options).edges]


@pytest.fixture
def deep() -> Any:
    """`pre`, then `sub`, of `x` and `inner`, which is of `ask` and `polish`."""
    inner = chain(("ask", stay), ("polish", stay)).compile()
    sub = chain(("x", stay), ("inner", inner)).compile()
    return chain(("pre", stay), ("sub", sub)).compile()


def test_a_graph_is_its_nodes_and_edges() -> None:
    graph = chain(("a", stay), ("b", stay)).compile()
    assert list(graph.get_graph().nodes) == [START, "a", "b", END]
    assert edges(graph) == [(START, "a"), ("a", "b"), ("b", END)]


def test_edges_are_in_the_order_of_their_names_but_those_that_end_the_run_come_last() -> None:
    graph = builder("z", "b", "a").add_edge(START, "z").add_edge("z", "b").add_edge("z", "a")
    graph.add_edge("b", END).add_edge("a", END)
    ways = [("z", "a"), ("z", "b"), ("a", END), ("b", END)]
    assert edges(graph.compile()) == [(START, "z"), *ways]


def test_json_has_nodes_with_their_metadata_and_edges_with_their_labels() -> None:
    graph = builder("b").add_node("a", stay, metadata={"k": 1}).add_edge(START, "a")
    graph.add_conditional_edges("a", route, {"yes": "b", END: END})
    as_json = graph.compile(interrupt_before=["b"]).get_graph().to_json()
    nodes = {node["id"]: node for node in as_json["nodes"]}
    assert nodes["a"]["data"]["name"] == "a"
    assert nodes["a"]["type"] == "runnable"
    assert nodes["a"]["metadata"] == {"k": 1}
    assert nodes["b"]["metadata"] == {"__interrupt": "before"}
    assert nodes[END] == {"id": END}
    assert as_json["edges"] == [
        {"source": START, "target": "a"},
        {"source": "a", "target": END, "conditional": True},
        {"source": "a", "target": "b", "data": "yes", "conditional": True},
        {"source": "b", "target": END},
    ]


def test_an_edge_from_several_nodes_is_one_from_each() -> None:
    graph = builder("a", "b", "c").add_edge(START, "a").add_edge(START, "b")
    graph.add_edge(["a", "b"], "c")
    assert {("a", "c"), ("b", "c"), ("c", END)} <= set(edges(graph.compile()))


def test_where_commands_may_go_is_said_by_the_annotation_or_by_destinations() -> None:
    async def annotated(state: State) -> Command[Literal["b", "__end__"]]:
        return Command()

    graph = builder("b").add_node("a", annotated).add_edge(START, "a")
    graph.add_node("c", stay, destinations={"b": "again"}).add_edge("b", "c")
    drawn = graph.compile().get_graph()
    dashed = [(edge.source, edge.target, edge.data) for edge in drawn.edges if edge.conditional]
    assert dashed == [("a", END, None), ("a", "b", None), ("c", "b", "again")]


def test_a_destination_that_does_not_exist_is_refused_by_name() -> None:
    graph = StateGraph(State).add_node("a", stay, destinations=("nowhere",)).add_edge(START, "a")
    with pytest.raises(ValueError, match=r"'a' has an unknown destination: 'nowhere'"):
        graph.compile()


def test_xray_puts_what_is_inside_in_place_of_a_graph_called_as_a_node(deep: Any) -> None:
    assert edges(deep) == [(START, "pre"), ("pre", "sub"), ("sub", END)]
    assert set(edges(deep, xray=True)) == {
        (START, "pre"),
        ("pre", "sub:x"),
        ("sub:x", "sub:inner:ask"),
        ("sub:inner:ask", "sub:inner:polish"),
        ("sub:inner:polish", END),
    }


def test_xray_of_one_opens_one_level(deep: Any) -> None:
    assert "sub:inner" in deep.get_graph(xray=1).nodes
    assert deep.get_graph(xray=2).nodes.keys() == deep.get_graph(xray=True).nodes.keys()


def test_an_opened_graph_with_several_ways_in_and_out_keeps_its_ends() -> None:
    inner = builder("a", "b").add_edge(START, "a").add_edge(START, "b").compile()
    assert {(START, "sub:__start__"), ("sub:__end__", END)} <= set(
        edges(chain(("sub", inner)).compile(), xray=True)
    )


def test_an_opened_graph_that_loops_keeps_its_ends_outside_the_loop() -> None:
    loop = chain(("a", stay), ("b", stay)).add_edge("b", "a").compile()
    drawn = set(edges(chain(("sub", loop)).compile(), xray=True))
    assert {("sub:__start__", "sub:a"), ("sub:b", "sub:a"), ("sub:b", "sub:__end__")} <= drawn


def test_a_graph_that_never_ends_is_not_opened() -> None:
    loop = builder("a").add_edge(START, "a").add_edge("a", "a").compile()
    assert "sub" in chain(("sub", loop)).compile().get_graph(xray=True).nodes


def test_mermaid_text_dashes_conditional_edges_and_boxes_inner_graphs(deep: Any) -> None:
    graph = builder("a", "b").add_edge(START, "a")
    graph.add_conditional_edges("a", route, {"yes": "b", END: END})
    text = graph.compile().get_graph().draw_mermaid()
    assert text.startswith("graph TD\n")
    assert '    a -.->|"yes"| b\n' in text
    assert "    b --> __end__\n" in text
    boxes = deep.get_graph(xray=True).draw_mermaid()
    assert boxes.index('subgraph sub["sub"]') < boxes.index('subgraph sub_3a_inner["inner"]')
    assert '("ask")' in boxes


def test_names_that_mermaid_would_misread_are_spelled_otherwise() -> None:
    graph = chain(("end", stay), ('say "hi" <b>', stay)).compile()
    text = graph.get_graph().draw_mermaid()
    assert '    end_("end")\n' in text
    assert '("say &quot;hi&quot; &lt;b&gt;")' in text


def test_subgraphs_are_listed_by_namespace(deep: Any) -> None:
    assert [name for name, _ in deep.get_subgraphs()] == ["sub"]
    found = dict(deep.get_subgraphs(recurse=True))
    assert list(found) == ["sub", "sub|inner"]
    assert found["sub|inner"].get_graph().nodes.keys() == {START, "ask", "polish", END}
    assert list(dict(deep.get_subgraphs(namespace="sub|inner", recurse=True))) == ["sub|inner"]
    assert list(deep.get_subgraphs(namespace="other")) == []


async def test_the_async_spellings_give_the_same(deep: Any) -> None:
    assert await deep.aget_graph(xray=True) == deep.get_graph(xray=True)
    found = [name async for name, _ in deep.aget_subgraphs(recurse=True)]
    assert found == ["sub", "sub|inner"]


def test_a_compiled_graph_knows_its_builder() -> None:
    graph = chain(("a", stay))
    assert graph.compile().builder is graph
