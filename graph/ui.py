"""Parts of a user interface as state: what a node wants to be shown, and by which component.

Names and shapes as `langgraph.graph.ui`, which the React client of the reference reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from .context import current_task
from .messages import ident_of
from .world import current_world

__all__ = [
    "AnyUIMessage",
    "RemoveUIMessage",
    "UIMessage",
    "delete_ui_message",
    "push_ui_message",
    "ui_message_reducer",
]


class UIMessage(TypedDict):
    """Show the component `name` with `props`.

    `metadata`: `merge` and `message_id` as given to `push_ui_message`, and the run's `run_id`,
    `tags` and `name`.
    """

    type: Literal["ui"]
    id: str
    name: str
    props: dict[str, Any]
    metadata: dict[str, Any]


class RemoveUIMessage(TypedDict):
    """Show what has this id no longer."""

    type: Literal["remove-ui"]
    id: str


AnyUIMessage = UIMessage | RemoveUIMessage


def push_ui_message(
    name: str,
    props: Mapping[str, Any],
    *,
    id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    message: Any = None,
    state_key: str | None = "ui",
    merge: bool = False,
) -> UIMessage:
    """Show a component: in stream mode `custom` at once, and in a key of the state.

    `id`: of one that is shown already, to change it; by default a new one. `message`: the chat
    message that it belongs to. `state_key`: declared as `Annotated[list, ui_message_reducer]`; None
    writes it nowhere. `merge`: add the props to those that are there. Returns what was written.

    Raises RuntimeError outside a node.
    """
    task = current_task("push_ui_message()")
    info = task.runtime.execution_info
    about = {
        "merge": merge,
        "run_id": None if info is None else info.run_id,
        "tags": task.config.get("tags"),
        "name": None,
        **(metadata or {}),
    }
    if message is not None and (message_id := ident_of(message)):
        about["message_id"] = message_id
    shown = UIMessage(
        type="ui",
        id=id or current_world().random_id(),
        name=name,
        props=dict(props),
        metadata=about,
    )
    task.runtime.stream_writer(shown)
    if state_key is not None:
        task.push_write(state_key, shown)
    return shown


def delete_ui_message(id: str, *, state_key: str = "ui") -> RemoveUIMessage:
    """Take a component away again, as `push_ui_message` showed it.

    Raises RuntimeError outside a node.
    """
    task = current_task("delete_ui_message()")
    gone = RemoveUIMessage(type="remove-ui", id=id)
    task.runtime.stream_writer(gone)
    task.push_write(state_key, gone)
    return gone


def ui_message_reducer(
    left: list[AnyUIMessage] | AnyUIMessage, right: list[AnyUIMessage] | AnyUIMessage
) -> list[AnyUIMessage]:
    """Merge components into components: the same id replaces (or adds props, where its metadata
    says `merge`), a new id appends, a `remove-ui` removes.

    Raises ValueError for the removal of an id that is not there.
    """
    shown = {one["id"]: one for one in (left if isinstance(left, list) else [left])}
    removed = set()
    for one in right if isinstance(right, list) else [right]:
        before = shown.get(one["id"])
        if one["type"] == "remove-ui":
            if before is None:
                raise ValueError(
                    f"Cannot remove UI message {one['id']!r}: there is none of that id"
                )
            removed.add(one["id"])
            continue
        removed.discard(one["id"])
        if one.get("metadata", {}).get("merge") and before is not None and before["type"] == "ui":
            one = UIMessage(**{**one, "props": {**before["props"], **one["props"]}})
        shown[one["id"]] = one
    return [one for ident, one in shown.items() if ident not in removed]
