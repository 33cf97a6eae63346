"""A TCP proxy whose answers come late, by as much as is set at the moment."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class SlowProxy(socketserver.ThreadingTCPServer):
    """Forwards everything; each piece of an answer waits ``delay`` seconds."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        """Stands before the server at ``port`` and delays nothing yet."""
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.target = ("127.0.0.1", port)
        self.url = f"redis://127.0.0.1:{self.server_address[1]}/0"
        self.delay = 0.0


class _Forwarder(socketserver.BaseRequestHandler):
    server: SlowProxy
    request: socket.socket

    def handle(self) -> None:
        """Forwards one client's bytes at once, and the answers late."""
        try:
            upstream = socket.create_connection(self.server.target)
        except ConnectionRefusedError:
            return  # which hangs up on the client
        with upstream:
            answers = threading.Thread(target=self._answer, args=(upstream,), daemon=True)
            answers.start()
            try:
                while data := self.request.recv(1 << 16):
                    upstream.sendall(data)
            except OSError:
                return  # the client hung up

    def _answer(self, upstream: socket.socket) -> None:
        try:
            while data := upstream.recv(1 << 16):
                time.sleep(self.server.delay)
                self.request.sendall(data)
            self.request.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client hung up


@contextmanager
def slow_proxy(port: int) -> Iterator[SlowProxy]:
    """A running proxy before the Redis server at ``port``."""
    with SlowProxy(port) as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
