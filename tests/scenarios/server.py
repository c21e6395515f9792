"""A real `greenroom serve` in a process of its own, to be spoken to and to be killed."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import httpx

__all__ = ["PATIENCE", "PROJECT", "Server", "free_port", "until"]

PROJECT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; how long to wait for what must happen before calling it a failure


def until(
    condition: Callable[[], Any], what: str, *, check: Callable[[], None] | None = None
) -> Any:
    """The first true value of `condition`; `what` says what was waited for if it never comes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if check is not None:
            check()
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.02)


@attrs.define(kw_only=True)
class Server:
    """Serves `graphs` (name to `path:attribute`) from `folder`; the data file lies there too, where
    no other `storage` is given. `app`: a folder that is served with the configuration file that it
    has, instead. `options`: more of the command line. `http` and `dependencies`: those of the
    configuration file, which has the name `config`."""

    folder: Path
    graphs: Mapping[str, str] = attrs.field(factory=dict)
    app: Path | None = None
    env: Mapping[str, str] = attrs.field(factory=dict)
    storage: str | None = None
    options: Sequence[str] = ()
    http: Mapping[str, Any] = attrs.field(factory=dict)
    dependencies: Sequence[str] = ()
    config: str = "greenroom.json"
    port: int = attrs.field(init=False, factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = attrs.field(init=False, default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def start(self) -> Server:
        """Starts the process, on the same port and file as before, and waits until it answers."""
        command = [
            str(Path(sys.executable).with_name("greenroom")),
            *(("dev",) if self.app else ("serve", "--config", self.configured())),
            *("--port", str(self.port)),
            *("--storage", self.storage or str(self.folder / "greenroom.db")),
            *self.options,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.app or self.folder,
                env={**os.environ, **self.env},
                stdout=log,
                stderr=log,
            )
        until(self.answers, f"{self.url}/ok", check=self.check_alive)
        return self

    def configured(self) -> str:
        path = self.folder / self.config
        keys = {"graphs": self.graphs, "http": self.http, "dependencies": self.dependencies}
        path.write_text(json.dumps(keys))
        return str(path)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ok").json()["ok"] is True
        except httpx.TransportError:
            return False

    def check_alive(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"greenroom serve ended:\n{self.log.read_text()}")

    def kill(self) -> None:
        """`kill -9`: no chance to put anything in order."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        self.end(signal.SIGTERM)

    def freeze(self) -> None:
        """It stands still until it is sent SIGCONT, or killed."""
        self.send(signal.SIGSTOP)
        assert self.process is not None
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def end(self, how: signal.Signals) -> None:
        self.send(how)
        self.wait()

    def send(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)

    def wait(self) -> int:
        """The exit status, once it has ended."""
        assert self.process is not None
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE)


def free_port() -> int:
    """One below those of outgoing connections, so that none takes it while a server is away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
