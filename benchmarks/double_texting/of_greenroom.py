"""The graph for this project."""

from talk import talk_of

from greenroom import graph

talk = talk_of(graph, graph.get_stream_writer)
