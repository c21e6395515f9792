"""A line to a PostgreSQL server that can be cut at the worst moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import attrs

__all__ = ["Line", "laid_line"]

PORT = 5433  # as it is called beside the server's own
BEGINNING = b"BEGIN "
WORD = b"COMMIT\x00"
FAILED = b"Z\x00\x00\x00\x05E"  # ready, in a transaction that has failed

Moment = Literal["before", "after", "late", "never", "held"]


@attrs.define(eq=False)
class Line:
    """Passes bytes on between clients and the server.

    `cut`: what happens to the connection on which the next COMMIT is sent. `before`: the server has
    carried out all but the COMMIT when it is cut. `after`: the server has carried it out too, its
    answer does not arrive. `late`: the client is cut off, and the server sees the COMMIT when the
    client has come back and asks for something. `never`: the client is cut off, and the server goes
    on waiting. `held`: the client is cut off, and the server sees nothing until `deliver`.
    """

    folder: Path
    listener: socket.socket
    cut: Moment | None = None
    cuts: int = 0
    _late: tuple[socket.socket, bytes] | None = None
    _held: tuple[socket.socket, bytes] | None = None
    _unheard: set[socket.socket] = attrs.field(factory=set)
    _sockets: list[socket.socket] = attrs.field(factory=list)
    _answering: dict[socket.socket, threading.Thread] = attrs.field(factory=dict)
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}&port={PORT}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.folder / ".s.PGSQL.5432"))
            self._sockets += [client, server]
            for way in (self._ask, self._answer):
                thread = threading.Thread(target=way, args=(client, server))
                self._threads.append(thread)
                self._answering[server] = thread
                thread.start()

    def deliver(self) -> None:
        """Let the server see what was held, and wait until it is done with it."""
        assert self._held is not None
        server, data = self._held
        server.sendall(data)
        server.shutdown(socket.SHUT_WR)
        self._answering[server].join()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                while self.cut == "held" and BEGINNING in data and WORD not in data:
                    data += client.recv(65536)
                if WORD in data and self.cut is not None:
                    if self._cut_off(client, server, data):
                        return
                    continue
                server.sendall(data)
                if self._late is not None and b"greenroom.renew_lease" in data:
                    late, self._late = self._late, None
                    late[0].sendall(late[1])
        hang_up(server)

    def _cut_off(self, client: socket.socket, server: socket.socket, data: bytes) -> bool:
        """Whether nothing more is to be read from the client."""
        moment, self.cut = self.cut, None
        self.cuts += 1
        if moment == "after":
            self._unheard.add(server)
            server.sendall(data)
            return False
        if moment == "held":
            self._held = (server, data)
        else:
            at = data.index(WORD) - 5  # where a simple query begins
            at -= data[at - 1 : at] == b"P"  # or the parsing of one
            server.sendall(data[:at])
            if moment == "late":
                self._late = (server, data[at:])
            elif moment == "before":
                hang_up(server)
        hang_up(client)
        return True

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            unheard = b""
            while data := server.recv(65536):
                if server in self._unheard:
                    unheard += data
                    if WORD in unheard:
                        break
                    if not unheard.endswith(FAILED):
                        continue
                    # There was nothing to commit; the next attempt is meant.
                    self._unheard.discard(server)
                    self.cut, data, unheard = "after", unheard, b""
                client.sendall(data)
        hang_up(client)
        hang_up(server)

    def close(self) -> None:
        for one in self._sockets:
            hang_up(one)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


def hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def laid_line(folder: Path) -> Iterator[Line]:
    """A line to the server whose socket is in `folder`."""
    place = folder / f".s.PGSQL.{PORT}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        line = Line(folder, listener)
        thread = threading.Thread(target=line.serve)
        thread.start()
        try:
            yield line
        finally:
            hang_up(listener)
            thread.join()
            line.close()
            place.unlink()
