"""A TCP proxy in front of Redis that lets through a given number of commands and then goes silent or hangs up."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Forwards commands until ``allowed`` of them went through; what a client says before its first command is free."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, allowed: int, *, hang_up: bool) -> None:
        """Stands before the server at ``port``; at the end it hangs up, or reads nothing more and stays open."""
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.target = ("127.0.0.1", port)
        self.url = f"redis://127.0.0.1:{self.server_address[1]}/0"
        self.hang_up = hang_up
        self.cut = threading.Event()
        self.passed: list[bytes] = []
        self._allowed = allowed

    def admit(self, command: bytes) -> bool:
        """Counts a command; false when no more may pass."""
        if command in (b"HELLO", b"CLIENT", b"AUTH"):
            return True
        if len(self.passed) >= self._allowed:
            self.cut.set()
            return False
        self.passed.append(command)
        return True


class _Forwarder(socketserver.StreamRequestHandler):
    server: CuttingProxy

    def handle(self) -> None:
        """Forwards the commands of one client one by one, and the answers as they come."""
        with socket.create_connection(self.server.target) as upstream:
            threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True).start()
            while command := _read_command(self.rfile):
                name, raw = command
                if not self.server.admit(name):
                    break
                upstream.sendall(raw)
            if self.server.cut.is_set() and not self.server.hang_up:
                self.rfile.read()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        return  # one side hung up, which ends the conversation


def _read_command(stream: BufferedIOBase) -> tuple[bytes, bytes] | None:
    """The next command's name and its bytes in the Redis protocol: an array of strings, each with its length."""
    head = stream.readline()
    if not head:
        return None
    parts, raw = [], [head]
    for _ in range(int(head[1:])):
        length = stream.readline()
        part = stream.read(int(length[1:]) + 2)
        raw += [length, part]
        parts.append(part[:-2])
    return parts[0].upper(), b"".join(raw)


@contextmanager
def cutting_proxy(port: int, allowed: int, *, hang_up: bool = True) -> Iterator[CuttingProxy]:
    """A running proxy before the Redis server at ``port``."""
    with CuttingProxy(port, allowed, hang_up=hang_up) as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
