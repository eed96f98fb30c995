"""Stand-in: an HTTP server on loopback that plays a model's API by a script and keeps what it was asked.

Rule: the script alone decides; nothing leaves the machine, and nothing is remembered between two requests but the
requests themselves.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from agents.turns import Request, Say
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agents.turns import Turn

    Model: TypeAlias = Callable[[Request], Turn]


class Api(Protocol):
    """What a module such as `anthropic_api` provides."""

    def is_model_call(self, request: Request) -> bool:
        """Whether the script answers this request."""

    def stream(self, turn: Turn, number: int, request: Request) -> bytes:
        """A turn as server-sent events."""

    def aside(self, request: Request) -> tuple[str, bytes]:
        """Content type and body of the answer to any other request."""


class StandIn:
    """The model of one or more agents; `calls` are its requests in order."""

    def __init__(self, api: Api, model: Model) -> None:
        self._api = api
        self._model = model
        self._lock = threading.Lock()
        self._calls: list[Request] = []
        self._asides: list[Request] = []
        self._failures: list[str] = []
        self._strays: list[str] = []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        # A connection that an agent keeps open must not keep the test from its end.
        server.daemon_threads = True
        server.block_on_close = False
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def calls(self) -> list[Request]:
        """The requests that the script answered."""
        with self._lock:
            return list(self._calls)

    @property
    def asides(self) -> list[Request]:
        """The other requests, for titles, counts and the like."""
        with self._lock:
            return list(self._asides)

    @property
    def failures(self) -> list[str]:
        """The errors of the script; a test expects none."""
        with self._lock:
            return list(self._failures)

    @property
    def strays(self) -> list[str]:
        """Other hosts that the agent requested. This server is its proxy, and refuses them."""
        with self._lock:
            return list(self._strays)

    def refuse(self, host: str) -> None:
        """Record a request to another host."""
        with self._lock:
            self._strays.append(host)

    def answer(self, request: Request) -> tuple[int, str, bytes]:
        """Status, content type and body for one request."""
        if not self._api.is_model_call(request):
            with self._lock:
                self._asides.append(request)
            return 200, *self._api.aside(request)
        with self._lock:
            self._calls.append(request)
            number = len(self._calls)
        # The script looks at the calls, so it runs without the lock that guards them.
        try:
            turn = self._model(request)
        except (AssertionError, MaestroError) as failed:
            # After an error the agent would repeat its request, so it gets an answer and the test gets the error.
            with self._lock:
                self._failures.append(repr(failed))
            turn = Say("The script has failed.")
        return 200, "text/event-stream", self._api.stream(turn, number, request)

    def close(self) -> None:
        """Give no further answers."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def standing_in(api: Api, model: Model | Sequence[Turn]) -> Iterator[StandIn]:
    """A stand-in for as long as the block runs; `model` decides, or is the list of turns."""
    made = StandIn(api, model if callable(model) else in_order(model))
    try:
        yield made
    finally:
        made.close()


def in_order(turns: Sequence[Turn]) -> Model:
    """A model that answers with these turns and then fails."""
    left = list(turns)

    def model(request: Request) -> Turn:
        assert left, f"the script is at its end, and the agent asks:\n{request.pretty()[-2_000:]}"
        return left.pop(0)

    return model


def _handler(stand_in: StandIn) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._send(200, "text/plain", b"")

        def do_CONNECT(self) -> None:
            stand_in.refuse(self.path)
            self._send(403, "text/plain", b"")

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                body = json.loads(sent or b"{}")
            except ValueError:
                body = {"unreadable": sent.decode("latin-1")}
            self._answer(body)

        def log_message(self, *arguments: Any) -> None:
            """Log nothing: the requests are kept, and a test prints only its failure."""

        def _answer(self, body: Any) -> None:
            asked = urllib.parse.urlsplit(self.path)
            if asked.netloc not in ("", urllib.parse.urlsplit(stand_in.url).netloc):
                stand_in.refuse(asked.netloc)
                self._send(403, "text/plain", b"")
                return
            self._send(*stand_in.answer(Request(asked.path, dict(self.headers), body)))

        def _send(self, status: int, kind: str, body: bytes) -> None:
            # OSError: the agent did not wait for the answer.
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

    return Handler
