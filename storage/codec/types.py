"""Which classes stored objects come back as."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from greenroom.graph.control import Command, Interrupt, Send
from greenroom.graph.declared import Messages, message_class, registered, type_name

__all__ = ["PLAIN", "Types"]

logger = logging.getLogger(__name__)

_OWN: Final = (Send, Command, Interrupt)


class Types:
    """The classes that a store's graphs declare; what the application has registered is always
    among them.

    Nothing is imported for a name in stored data: it is looked up here, or it stands for nothing.
    """

    def __init__(self, declared: Collection[type] = ()) -> None:
        self._by_name: dict[str, type | None] = {type_name(kind): kind for kind in _OWN}
        self._declared: set[type] = set()
        self._told: set[type] = set()
        self.declare(declared)

    def declare(self, kinds: Collection[type]) -> None:
        """Add the classes that a graph declares. Where two have the same name, it stands for none
        of them from then on."""
        for kind in kinds:
            if kind in self._declared:
                continue
            self._declared.add(kind)
            name = type_name(kind)
            if self._by_name.setdefault(name, kind) is not kind:
                self._by_name[name] = None
                logger.warning(
                    "there are several classes called %s; stored objects of them come back as "
                    "plain data",
                    name,
                )

    def find(self, name: str) -> type | None:
        """The class that stored objects call by a name."""
        kind = self._by_name.get(name) or registered(name)
        if kind is None and (Messages in self._declared or registered(type_name(Messages))):
            return message_class(name)
        return kind

    def tell(self, kinds: Collection[type], where: str) -> None:
        """Warn, once for each class, that its objects in `where` will come back as plain data. Text
        needs no word: it is all there."""
        for kind in kinds:
            if kind not in self._told and not issubclass(kind, str):
                self._told.add(kind)
                logger.warning(
                    "%s holds a %s, which no schema of the graph declares and which is not "
                    "registered: it will come back from storage as plain data",
                    where,
                    type_name(kind),
                )


PLAIN: Final = Types()
