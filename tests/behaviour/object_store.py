"""An S3 for tests: moto's server, reached over a line that can be cut, as an outage does, and mended again."""

import contextlib
import re
import select
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

import httpx
from moto.server import ThreadedMotoServer

LOOPBACK = "127.0.0.1"
BUCKET = "log"
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_REGION": "us-east-1"}


class _Line(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, target: int) -> None:
        super().__init__((LOOPBACK, port), _Call)
        self.target = target
        self.open: set[socket.socket] = set()

    def cut(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):  # it ended by itself
                connection.shutdown(socket.SHUT_RDWR)


class _Call(socketserver.BaseRequestHandler):
    server: _Line

    def handle(self) -> None:
        with socket.create_connection((LOOPBACK, self.server.target)) as there:
            ends = {self.request: there, there: self.request}
            self.server.open |= set(ends)
            try:
                self._pass(ends)
            except OSError:
                return  # cut
            finally:
                self.server.open -= set(ends)

    def _pass(self, ends: dict[socket.socket, socket.socket]) -> None:
        while True:
            for source in select.select(list(ends), [], [])[0]:
                received = source.recv(2**16)
                if not received:
                    return
                ends[source].sendall(received)


class ObjectStore:
    """Runs within the block, with one empty bucket; `environment` is what a process needs to reach it."""

    def __enter__(self) -> Self:
        self._moto = ThreadedMotoServer(LOOPBACK, 0, verbose=False)
        self._moto.start()
        target = self._moto.get_host_and_port()[1]
        self._line = _Line(0, target)
        self.port = int(self._line.server_address[1])
        self._serve()
        self._bucket = f"http://{LOOPBACK}:{target}/{BUCKET}"
        httpx.put(self._bucket).raise_for_status()
        self._target = target
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._moto.stop()

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self.port}", "AWS_ALLOW_HTTP": "true"}

    def names(self) -> list[str]:
        """The keys in the bucket."""
        listed = httpx.get(self._bucket, params={"list-type": "2"}).raise_for_status().text
        return re.findall(r"<Key>(.*?)</Key>", listed)

    def read(self, name: str) -> bytes:
        """What is kept under a key."""
        return httpx.get(f"{self._bucket}/{name}").raise_for_status().content

    def replace(self, name: str, content: bytes) -> None:
        """Keep something else under a key, behind everybody's back."""
        httpx.put(f"{self._bucket}/{name}", content=content).raise_for_status()

    def cut(self) -> None:
        """From now on nobody reaches it. Calling it twice is harmless."""
        self._line.cut()

    def mend(self) -> None:
        """It is reached again, at the same address and with what it had."""
        self._line = _Line(self.port, self._target)
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._line.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
