"""A compiled graph as nodes and edges: to be drawn, or looked at by a program."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import attrs

from .control import END, START
from .nodes import Node

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["DrawnEdge", "DrawnGraph", "DrawnNode", "draw"]

# Words of Mermaid's own that cannot be the id of a node.
_RESERVED = {
    "call", "class", "classdef", "click", "default", "direction", "end", "flowchart", "graph",
    "href", "interpolate", "linkstyle", "style", "subgraph",
}  # fmt: skip


@attrs.frozen
class DrawnNode:
    """`id`: the node's name, behind `sub:` in a graph called as the node `sub`. `data`: the node of
    the compiled graph, None for END."""

    id: str
    data: Node | None = None
    metadata: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.id

    def to_json(self) -> dict[str, Any]:
        if self.data is None:
            return {"id": self.id}
        kind = "Node" if self.data.subgraph is None else "CompiledStateGraph"
        data = {"id": ["greenroom", "graph", kind], "name": self.name}
        node = {"id": self.id, "type": "runnable", "data": data}
        return node if self.metadata is None else {**node, "metadata": self.metadata}


@attrs.frozen
class DrawnEdge:
    """`data`: its label, if it has one. `conditional`: not taken always."""

    source: str
    target: str
    data: str | None = None
    conditional: bool = False

    def to_json(self) -> dict[str, Any]:
        edge: dict[str, Any] = {"source": self.source, "target": self.target}
        if self.data is not None:
            edge["data"] = self.data
        if self.conditional:
            edge["conditional"] = True
        return edge


@attrs.frozen
class DrawnGraph:
    """What a graph looks like: `nodes` by id and `edges`, at most one from a node to another."""

    nodes: dict[str, DrawnNode]
    edges: list[DrawnEdge]

    def to_json(self) -> dict[str, Any]:
        """As the Agent Server's `GET /assistants/{id}/graph` gives it."""
        return {
            "nodes": [node.to_json() for node in self.nodes.values()],
            "edges": [edge.to_json() for edge in self.edges],
        }

    def draw_mermaid(self) -> str:
        """A Mermaid flowchart; edges that are not taken always are dashed."""
        lines = ["graph TD"]
        _mermaid_box(self, "", lines, "    ")
        lines += [f"    {_mermaid_edge(edge)}" for edge in self.edges]
        return "\n".join(lines) + "\n"


def draw(compiled: CompiledStateGraph, xray: int | bool = False) -> DrawnGraph:
    """A graph's nodes and edges.

    `xray`: True shows what is inside graphs called as nodes, a number so many levels of it. What a
    conditional edge without a path map leads to is not known, and not drawn. A node from which no
    edge is known leads to END.
    """
    nodes = {
        name: DrawnNode(name, node, _metadata(compiled, node))
        for name, node in compiled.topology.nodes.items()
    }
    edges = _edges(compiled)
    if any(edge.target == END for edge in edges):
        nodes[END] = DrawnNode(END)
    drawn = DrawnGraph(nodes, edges)
    if xray:
        deeper = xray if xray is True else xray - 1
        for name, node in compiled.topology.nodes.items():
            if node.subgraph is not None:
                drawn = _opened(drawn, name, draw(node.subgraph, deeper))
    return drawn


def _edges(compiled: CompiledStateGraph) -> list[DrawnEdge]:
    topology = compiled.topology
    found = [DrawnEdge(s, join.target) for join in topology.joins.values() for s in join.sources]
    for name, node in topology.nodes.items():
        found += [DrawnEdge(name, target) for target in node.edges]
        ways = [(label, to) for b in node.branches for label, to in (b.path_map or {}).items()]
        ways += [(label or to, to) for to, label in node.destinations.items()]
        for label, target in ways:
            data = None if label == target else str(label)
            found.append(DrawnEdge(name, target, data, conditional=True))
    found.sort(key=lambda edge: (edge.source, edge.target, edge.conditional, edge.data or ""))
    edges = {(edge.source, edge.target): edge for edge in reversed(found)}
    sources = {edge.source for edge in found}
    ends = {edge.target for edge in found} - sources - {END}
    if START not in sources:
        ends.add(START)
    last = [DrawnEdge(name, END, conditional=name == START) for name in sorted(ends)]
    return sorted([*reversed(edges.values()), *last], key=_ends_last)


def _ends_last(edge: DrawnEdge) -> tuple[bool, str]:
    """Those that always end the run come last, as in LangGraph, by where they come from."""
    ends = edge.target == END and not edge.conditional
    return ends, edge.source if ends else ""


def _metadata(compiled: CompiledStateGraph, node: Node) -> dict[str, Any] | None:
    breaks = (("before", compiled.interrupt_before), ("after", compiled.interrupt_after))
    pauses = [
        when
        for when, names in breaks
        if node.name != START and (names == "*" or node.name in names)
    ]
    metadata = dict(node.metadata)
    if node.defer:
        metadata["defer"] = True
    if pauses:
        metadata["__interrupt"] = ",".join(pauses)
    return metadata or None


def _opened(outer: DrawnGraph, name: str, inner: DrawnGraph) -> DrawnGraph:
    """`outer` with the nodes of `inner` in place of the node `name`.

    What leads to the node leads to the inner graph's first node, and what leads on from it comes
    from the last. Where START has one successor, that is the first; so with END.
    """
    nodes, edges = dict(inner.nodes), inner.edges
    first, last = START, END
    ways_in = [edge for edge in edges if edge.source == START]
    if len(ways_in) == 1 and ways_in[0].target != END and not _comes_back(edges, ways_in[0]):
        first = ways_in[0].target
        del nodes[START]
    ways_out = [edge for edge in edges if edge.target == END]
    if len(ways_out) == 1 and ways_out[0].source in nodes and not _goes_on(edges, ways_out[0]):
        last = ways_out[0].source
        del nodes[END]
    if last not in nodes:  # it never ends: there is no place to go on from
        return outer
    inside = {
        f"{name}:{ident}": attrs.evolve(node, id=f"{name}:{ident}") for ident, node in nodes.items()
    }
    within = [
        attrs.evolve(edge, source=f"{name}:{edge.source}", target=f"{name}:{edge.target}")
        for edge in edges
        if edge.source in nodes and edge.target in nodes
    ]
    around = [
        attrs.evolve(
            edge,
            source=f"{name}:{last}" if edge.source == name else edge.source,
            target=f"{name}:{first}" if edge.target == name else edge.target,
        )
        for edge in outer.edges
    ]
    kept = {ident: node for ident, node in outer.nodes.items() if ident != name}
    return DrawnGraph({**kept, **inside}, [*around, *within])


def _comes_back(edges: list[DrawnEdge], way_in: DrawnEdge) -> bool:
    return any(edge.target == way_in.target and edge != way_in for edge in edges)


def _goes_on(edges: list[DrawnEdge], way_out: DrawnEdge) -> bool:
    return any(edge.source == way_out.source and edge != way_out for edge in edges)


def _mermaid_box(graph: DrawnGraph, prefix: str, lines: list[str], indent: str) -> None:
    """The nodes whose ids start with `prefix`, those of inner graphs in boxes of their own."""
    boxes: dict[str, None] = {}
    for node in graph.nodes.values():
        if not node.id.startswith(prefix):
            continue
        box, inside, _ = node.id.removeprefix(prefix).partition(":")
        if inside:
            boxes[box] = None
        else:
            lines.append(f"{indent}{_mermaid_node(node, box)}")
    for box in boxes:
        lines.append(f'{indent}subgraph {_key(prefix + box)}["{_text(box)}"]')
        _mermaid_box(graph, f"{prefix}{box}:", lines, indent + "    ")
        lines.append(f"{indent}end")


def _mermaid_node(node: DrawnNode, name: str) -> str:
    if name in (START, END):
        return f'{_key(node.id)}(["{_text(name)}"])'
    notes = [f"{_text(key)} = {_text(value)}" for key, value in (node.metadata or {}).items()]
    text = "<br/>".join([_text(name), *(f"<small>{note}</small>" for note in notes)])
    return f'{_key(node.id)}("{text}")'


def _mermaid_edge(edge: DrawnEdge) -> str:
    label = "" if edge.data is None else f'|"{_text(edge.data)}"|'
    arrow = "-.->" if edge.conditional else "-->"
    return f"{_key(edge.source)} {arrow}{label} {_key(edge.target)}"


def _key(ident: str) -> str:
    """An id that Mermaid takes, and no word of its own."""
    key = re.sub(r"\W", lambda found: f"_{ord(found.group()):x}_", ident, flags=re.ASCII)
    return f"{key}_" if key.lower() in _RESERVED else key


def _text(value: Any) -> str:
    text = html.escape(" ".join(str(value).split()))
    return text.replace("`", "&#96;")  # which would start Markdown
