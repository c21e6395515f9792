"""The graph for servers that run LangGraph's own."""

from langgraph import graph
from langgraph.config import get_stream_writer
from talk import talk_of

talk = talk_of(graph, get_stream_writer)
