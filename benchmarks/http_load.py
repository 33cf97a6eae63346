"""Requests at a constant rate that does not wait for answers, and the highest rate that a server answers.

Time runs from the moment at which a request was due, so that a server that stalls pays for all who had to wait.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Answers:
    """What a stretch of load gave.

    Attributes:
        seconds: of each successful request, from the moment it was due.
        refused: of each request that the server had no room for (429), likewise.
        late: seconds by which each request was sent later than it was due: the load generator's own share.
        failures: what went wrong, one entry a failed request.
        versions: the catalog versions that answered, and how often.
    """

    seconds: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)

    def percentile(self, percent: float) -> float:
        """Milliseconds below which this share of the successful requests was answered."""
        value = percentile(self.seconds, percent)
        assert value is not None, "no request was answered"
        return value


def percentile(seconds: Sequence[float], percent: float) -> float | None:
    """Of some times in milliseconds; None if there are none."""
    return round(float(np.percentile(seconds, percent)) * 1e3, 3) if len(seconds) else None


class Client:
    """Keep-alive connections to ``POST /recommend`` of one server; as many as are needed at once."""

    def __init__(self, port: int, bodies: Sequence[dict[str, Any]]) -> None:
        """Sends ``bodies`` in turn."""
        self._port = port
        self._requests = [_request(body) for body in bodies]
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._sent = 0

    async def constant(self, rate: float, seconds: float) -> Answers:
        """Sends ``rate`` requests a second, whether or not earlier ones were answered."""
        answers = Answers()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._ask(answers, due))
        return answers

    async def capacity(self, clients: int, seconds: float) -> float:
        """Requests a second that ``clients`` get, each of whom asks again as soon as it is answered."""
        answers = Answers()
        started = time.perf_counter()

        async def ask_again() -> None:
            while time.perf_counter() < started + seconds:
                await self._ask(answers, time.perf_counter())

        await asyncio.gather(*(ask_again() for _ in range(clients)))
        return len(answers.seconds) / (time.perf_counter() - started)

    async def close(self) -> None:
        """Hangs up."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _reusable(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection that the server has not closed for being idle, as those of a burst are after a while."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _ask(self, answers: Answers, due: float) -> None:
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        answers.late.append(time.perf_counter() - due)
        try:
            connection = self._reusable() or await asyncio.open_connection("127.0.0.1", self._port)
            status, body = await _exchange(*connection, request)
        except (OSError, EOFError, ValueError) as error:
            answers.failures.append(repr(error))
            return
        self._idle.append(connection)
        if status == b"429":
            answers.refused.append(time.perf_counter() - due)
            return
        if status != b"200":
            answers.failures.append(body.decode())
            return
        answers.seconds.append(time.perf_counter() - due)
        version = json.loads(body)["catalog_version"]
        answers.versions[version] = answers.versions.get(version, 0) + 1


def _request(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[bytes, bytes]:
    """Status and body of the answer to one request."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in head if line.startswith(b"content-length:"))
    return head[0].split()[1], await reader.readexactly(length)
