"""Constant load on a model server, as many clients make it, and an account of every request.

Each request is one of four kinds in turn: answered whole or as a stream, by a connection that is
kept open or by a fresh one. Nothing is ever asked twice: a request without its whole
answer is lost. As every client's pool does, this one looks before it uses an open connection
whether the server closed it meanwhile (ours closes idle ones after 3 s).
"""

from __future__ import annotations

import http.client
import json
import select
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = tuple[Literal["whole", "stream"], Literal["kept", "fresh"]]
KINDS: Final[Sequence[Kind]] = (
    ("whole", "kept"),
    ("stream", "fresh"),
    ("stream", "kept"),
    ("whole", "fresh"),
)

REQUESTS_PER_SECOND: Final = 5.0
ANSWER_SECONDS: Final = 60.0
"""A request without an answer by then is lost. Two model servers share two cores during a surge,
and then an answer of half a second takes several (measured 2026-11)."""

ANSWER_TOKENS: Final = 4
PROMPT: Final = "The capital of France is"


@dataclass(frozen=True)
class Request:
    """One request, and what became of it."""

    kind: Kind
    began_seconds: float
    """Since the load began."""
    seconds: float
    trouble: str
    """Empty when the whole answer came."""


class Load:
    """Sends requests at a fixed rate, whether or not earlier ones were answered."""

    def __init__(self, address: str, model: str) -> None:
        """Ask `model` behind `address`."""
        self._address = address
        self._model = model
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._kept: list[http.client.HTTPConnection] = []
        self._began = 0.0
        self._senders: list[threading.Thread] = []
        self.requests: list[Request] = []

    def lost(self) -> list[Request]:
        """Return the requests that were not answered."""
        return [one for one in self.requests if one.trouble]

    def summary(self) -> str:
        """Return what is worth telling about the load."""
        took = sorted(one.seconds for one in self.requests)
        kinds = Counter(" ".join(one.kind) for one in self.requests)
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return (
            f"{len(self.requests)} requests ({told}), {len(self.lost())} lost; "
            f"median {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s"
        )

    def begin(self) -> None:
        """Start sending."""
        self._began = time.monotonic()
        clock = threading.Thread(target=self._tick, name="load", daemon=True)
        self._senders.append(clock)
        clock.start()

    def end(self) -> None:
        """Stop sending, and wait for the answers that are due."""
        self._stopped.set()
        # The clock is the first, and adds no more senders once it is joined.
        self._senders[0].join(ANSWER_SECONDS)
        for sender in self._senders[1:]:
            sender.join(ANSWER_SECONDS + 1)
        for connection in self._kept:
            connection.close()

    def _tick(self) -> None:
        number = 0
        while not self._stopped.wait(max(0.0, self._due_in(number))):
            kind = KINDS[number % len(KINDS)]
            sender = threading.Thread(target=self._send, args=(kind,), daemon=True)
            self._senders.append(sender)
            sender.start()
            number += 1

    def _due_in(self, number: int) -> float:
        return self._began + number / REQUESTS_PER_SECOND - time.monotonic()

    def _send(self, kind: Kind) -> None:
        began = time.monotonic()
        connection = self._connection(kind)
        trouble = ""
        try:
            is_open = self._ask(connection, kind)
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
            trouble, is_open = repr(error), False
        with self._lock:
            if is_open and kind[1] == "kept":
                self._kept.append(connection)
            else:
                connection.close()
            now = time.monotonic()
            self.requests.append(Request(kind, began - self._began, now - began, trouble))

    def _connection(self, kind: Kind) -> http.client.HTTPConnection:
        with self._lock:
            while kind[1] == "kept" and self._kept:
                connection = self._kept.pop()
                if not _is_closed(connection):
                    return connection
                connection.close()
        return http.client.HTTPConnection(self._address, 80, timeout=ANSWER_SECONDS)

    def _ask(self, connection: http.client.HTTPConnection, kind: Kind) -> bool:
        """Return whether the server left the connection open."""
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": PROMPT,
            "max_tokens": ANSWER_TOKENS,
            "temperature": 0,
            "stream": kind[0] == "stream",
        }
        connection.request(
            "POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        content = response.read().decode()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"status {response.status}: {content[:200]}")
        if kind[0] == "whole":
            if not json.loads(content)["choices"][0]["text"]:
                raise ValueError("an answer without words")
        elif not content.rstrip().endswith("data: [DONE]"):
            raise ValueError(f"a stream without an end: …{content[-100:]}")
        return not response.will_close


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the other end of an idle connection has something to say: it can only be goodbye."""
    return bool(select.select([connection.sock], [], [], 0)[0])


@contextmanager
def load_on(address: str, model: str) -> Iterator[Load]:
    """Keep asking while the block runs."""
    load = Load(address, model)
    load.begin()
    try:
        yield load
    finally:
        load.end()
