"""Who may use the page: codes, tokens, a page that may only show, and those whom nothing vouches for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from maestro_clients.processes import login_codes
from support import components
from support.gateways import WITHOUT_OWNERS, Answer, Gateway
from support.post_office import scratch
from support.wire_http import JSON, UPGRADE, ask, head, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

WAIT_S = 20
OTHER_UID = 61_001
# Prints the whole answer to what it reads, as another user.
_STRANGER = """
import os, socket, sys
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[3]))
# Not by create_connection, which imports a codec, and that user may not read our interpreter's files.
wire = socket.socket()
wire.settimeout(20)
wire.connect((sys.argv[1], int(sys.argv[2])))
wire.sendall(sys.stdin.buffer.read())
try:
    while piece := wire.recv(65536):
        sys.stdout.buffer.write(piece)
except ConnectionError:
    pass
"""


class Place(NamedTuple):
    """A post office with its gateway."""

    office: PostOffice
    gateway: Gateway

    def code(self, rights: login_codes.Rights = "full", *, age_ms: int = 0) -> str:
        return login_codes.issue(self.office.data, rights, time.time_ns() // 1_000_000 - age_ms)

    def trade(self, code: str, **headers: str) -> Answer:
        return self.gateway.ask("POST", "/ui/login", {"code": code}, headers=headers)

    def token(self, rights: login_codes.Rights = "full") -> str:
        answer = self.trade(self.code(rights))
        assert (answer.status, answer.json["rights"]) == (200, rights)
        return str(answer.json["token"])

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Answer:
        """As the person, as the page asks."""
        return self.gateway.ask(method, path, body, headers=person(token))

    def events(self, **named: Any) -> ClientConnection:
        """A WebSocket of the page, which can set no headers."""
        origin = Origin(self.gateway.url)
        found: ClientConnection = connect(f"{self.gateway.ws_url}/ws", origin=origin, compression=None, **named)
        return found


def person(token: str | None = None) -> dict[str, str]:
    return {"X-Session-ID": "operator", **({"Authorization": f"Bearer {token}"} if token is not None else {})}


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


def received(events: ClientConnection) -> Any:
    return json.loads(events.recv(timeout=WAIT_S))


@pytest.fixture(scope="module")
def near(office: PostOffice, standing: Gateway) -> Place:
    """Where the kernel vouches for a program of the same user."""
    return Place(office, standing)


@pytest.fixture(scope="module")
def far() -> Iterator[Place]:
    """Where it does not say who has connected."""
    office = scratch()
    try:
        office.start()
        office.sessions("ann", "bob")
        with Gateway(office, first=WITHOUT_OWNERS) as gateway:
            yield Place(office, gateway)
    finally:
        office.close()


# --- what the page learns ------------------------------------------------------------------------------------


def test_where_the_kernel_vouches_there_is_no_login(near: Place) -> None:
    answer = near.ask("GET", "/ui/session")
    assert answer.status == 200
    said = answer.json
    assert (said["rights"], said["login"], said["dataDir"]) == ("full", False, near.office.data)
    assert said["user"]
    assert said["version"]
    assert answer.headers["cache-control"] == "no-store"


def test_elsewhere_the_page_needs_a_login_and_its_files_do_not(far: Place) -> None:
    for path in ("/ui", "/ui/", "/ui/s/ann", "/web/docs.css"):
        assert far.ask("GET", path).status == 200, path
    answer = far.ask("GET", "/ui/session")
    assert refusal(answer) == (401, "LOGIN_REQUIRED")
    assert "maestro" not in answer.json["hint"]
    assert refusal(far.ask("GET", "/api/sessions")) == (403, "FORBIDDEN")
    token = far.token()
    said = far.ask("GET", "/ui/session", token=token).json
    assert (said["rights"], said["login"]) == ("full", True)


# --- codes ---------------------------------------------------------------------------------------------------


def test_a_code_works_once(far: Place) -> None:
    code = far.code()
    first = far.trade(code)
    assert set(first.json) == {"token", "expiresAt", "rights"}
    assert first.headers["cache-control"] == "no-store"
    assert "set-cookie" not in first.headers
    assert refusal(far.trade(code)) == (403, "LOGIN_REFUSED")


@pytest.mark.parametrize("age_ms", [login_codes.LIFE_MS, 3_600_000])
def test_a_code_is_good_for_a_minute(far: Place, age_ms: int) -> None:
    assert refusal(far.trade(far.code(age_ms=age_ms))) == (403, "LOGIN_REFUSED")


def test_a_guess_and_a_body_that_is_none(far: Place) -> None:
    code = far.code()
    for guess in ("", "x" * 22, code[:-1], code + "A", "../" + code, "\0"):
        assert refusal(far.trade(guess)) == (403, "LOGIN_REFUSED"), guess
    bodies: list[Any] = [{}, {"code": 7}, {"code": code, "rights": "full"}, []]
    for body in bodies:
        assert refusal(far.gateway.ask("POST", "/ui/login", body)) == (400, "INVALID"), body
    assert far.trade(code).status == 200


def test_a_long_body_is_not_read(far: Place) -> None:
    """The call is open to all, so it keeps no more than a code takes."""
    answer = far.gateway.ask("POST", "/ui/login", {"code": "x" * 2_000})
    assert refusal(answer) == (413, "FRAME_TOO_LARGE")
    chunked = head("/ui/login", JSON, b"Transfer-Encoding: chunked", method="POST") + b"800\r\n" + b"x" * 2_048
    refused(ask(far.gateway, chunked), "FRAME_TOO_LARGE")


def test_a_code_of_another_site_and_of_another_name(far: Place) -> None:
    """A page of another site that knew a code could not use it, nor could one whose name points here."""
    body = json.dumps({"code": far.code()}).encode()
    length = b"Content-Length: %d" % len(body)
    for line in (b"Origin: http://page.example", b"Origin: http://localhost:3000", b"Sec-Fetch-Site: cross-site"):
        refused(ask(far.gateway, head("/ui/login", JSON, length, line, method="POST") + body), "ORIGIN_REFUSED")
    host = b"Host: rebound.example\r\n"
    refused(ask(far.gateway, head("/ui/login", JSON, length, method="POST", host=host) + body), "HOST_REFUSED")
    refused(ask(far.gateway, head("/ui/session", host=host)), "HOST_REFUSED")
    assert far.trade(json.loads(body)["code"]).status == 200


def test_a_stale_token_does_not_stand_in_the_way_of_a_login(far: Place) -> None:
    assert far.trade(far.code(), Authorization="Bearer ui_old").status == 200


# --- tokens --------------------------------------------------------------------------------------------------


def test_with_a_token_the_page_is_the_person(far: Place) -> None:
    token = far.token()
    sent = far.ask("POST", "/api/messages", {"to": "ann", "message": "hello"}, token=token)
    assert sent.status == 201
    [said] = far.ask("GET", "/api/messages?limit=1", token=token).json["messages"]
    assert (said["message"]["from"], said["message"]["to"]) == ("operator", "ann")
    assert far.ask("GET", "/api/status", token=token).json["broker"]["headLsn"] > 0
    assert refusal(far.ask("GET", "/api/status")) == (403, "FORBIDDEN")


@pytest.mark.parametrize("where", ["near", "far"])
def test_a_token_that_is_none(where: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(where)
    for path in ("/ui/session", "/api/sessions", "/api/messages"):
        assert refusal(place.ask("GET", path, token="ui_guess")) == (401, "LOGIN_REQUIRED")
    with place.events() as events:
        events.send(json.dumps({"type": "auth", "token": "ui_guess"}))
        frames = [received(events)]
        assert frames[-1]["code"] == "LOGIN_REQUIRED"
        with pytest.raises(ConnectionClosed) as closed:
            events.recv(timeout=WAIT_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_a_token_in_an_address_is_refused(near: Place, far: Place) -> None:
    for place in (near, far):
        token = place.token()
        for name in ("token", "access_token"):
            assert refusal(place.ask("GET", f"/api/messages?{name}={token}")) == (400, "INVALID")
            with pytest.raises(InvalidStatus) as raised:
                connect(f"{place.gateway.ws_url}/ws?{name}={token}", origin=Origin(place.gateway.url))
            assert raised.value.response.status_code == 400


def test_a_token_is_of_one_process() -> None:
    """`maestro down` ends every login, and a code of before opens nothing."""
    office = scratch()
    try:
        office.start()
        with Gateway(office, first=WITHOUT_OWNERS) as gateway:
            place = Place(office, gateway)
            token, code = place.token(), place.code()
            gateway.stop()
            gateway.start()
            assert refusal(place.ask("GET", "/ui/session", token=token)) == (401, "LOGIN_REQUIRED")
            assert refusal(place.trade(code)) == (403, "LOGIN_REFUSED")
    finally:
        office.close()


# --- a page that only shows ----------------------------------------------------------------------------------

CHANGES = [
    ("POST", "/api/messages", {"to": "ann", "message": "hello"}),
    ("POST", "/api/sessions/ann/messages", {"message": "hello"}),
    ("POST", "/api/messages/msg_1/retry", None),
    ("PATCH", "/api/messages/msg_1", {"status": "read"}),
    ("DELETE", "/api/messages/msg_1", None),
    ("POST", "/api/sessions", {"id": "zoe"}),
    ("PATCH", "/api/sessions/ann", {"status": "working"}),
    ("PUT", "/api/groups/reviews", {}),
    ("DELETE", "/api/groups/reviews", None),
    ("GET", "/api/sessions/ann/mail", None),
    ("GET", "/api/mail/inbox/ann", None),
    ("POST", "/mcp", {}),
    ("OPTIONS", "/api/sessions", None),
]


@pytest.mark.parametrize("where", ["near", "far"])
@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=[f"{row[0]} {row[1]}" for row in CHANGES])
def test_a_page_that_only_shows_changes_nothing(
    where: str, method: str, path: str, body: Any, request: pytest.FixtureRequest
) -> None:
    """Also where the kernel vouches: the token says less than that."""
    place: Place = request.getfixturevalue(where)
    token = place.token("view")
    for headers in (person(token), {"Authorization": f"Bearer {token}"}, {**person(token), "X-Session-ID": "ann"}):
        answer = place.gateway.ask(method, path, body, headers=headers)
        assert refusal(answer) == (403, "VIEW_ONLY")
        assert answer.json["hint"]


@pytest.mark.parametrize("where", ["near", "far"])
def test_a_page_that_only_shows_shows_everything(where: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(where)
    token = place.token("view")
    assert place.ask("GET", "/ui/session", token=token).json["rights"] == "view"
    for path in (
        "/api/sessions",
        "/api/messages",
        "/api/presence",
        "/api/groups",
        "/api/status",
        "/api/dead-letters",
    ):
        assert place.ask("GET", path, token=token).status == 200, path
    assert place.ask("HEAD", "/api/sessions", token=token).status == 200


@pytest.mark.parametrize("where", ["near", "far"])
@pytest.mark.parametrize("rights", ["view", "full"])
def test_the_pages_events(where: str, rights: login_codes.Rights, request: pytest.FixtureRequest) -> None:
    """The first frame says who it is; nothing that a client can send is a message."""
    place: Place = request.getfixturevalue(where)
    with place.events() as events:
        events.send(json.dumps({"type": "auth", "token": place.token(rights)}))
        assert received(events) == {"type": "authenticated", "sessionId": "operator"}
        events.send(json.dumps({"type": "send", "to": "ann", "message": "hello"}))
        events.send(json.dumps({"type": "ping"}))
        assert received(events)["type"] == "pong", "an unknown frame has no answer, and no effect"
        with place.office.client("bob") as client:
            sent = client.send("ann", "hello of bob")["id"]
        while (frame := received(events))["type"] != "message:created":
            pass
        assert (frame["data"]["messageId"], frame["data"]["message"]["message"]) == (sent, "hello of bob")


def test_a_page_that_never_says_who_it_is(far: Place) -> None:
    with far.events() as events:
        events.send(json.dumps({"type": "ping"}))
        assert received(events)["code"] == "NO_SESSION"
        with pytest.raises(ConnectionClosed):
            events.recv(timeout=WAIT_S)
    # A program says it with the handshake.
    refused(ask(far.gateway, head("/ws", *UPGRADE)), "NO_SESSION")
    refused(ask(far.gateway, head("/ws", *UPGRADE, b"Origin: http://page.example")), "ORIGIN_REFUSED")


# --- other users ---------------------------------------------------------------------------------------------


def test_another_user_gets_nothing_not_even_with_a_code(near: Place) -> None:
    components.require_root("running a program as another user")
    code, token = near.code(), near.token()
    body = json.dumps({"code": code}).encode()
    length = b"Content-Length: %d" % len(body)
    for raw in (
        head("/ui/", b"Connection: close"),
        head("/ui/session", b"Connection: close"),
        head("/ui/login", JSON, length, b"Connection: close", method="POST") + body,
        head(
            "/api/messages",
            b"Connection: close",
            b"X-Session-ID: operator",
            f"Authorization: Bearer {token}".encode(),
        ),
    ):
        host, port = near.gateway.address
        done = subprocess.run(
            [sys.executable, "-I", "-c", _STRANGER, host, str(port), str(OTHER_UID)],
            input=raw,
            capture_output=True,
            check=True,
            timeout=30,
        )
        assert done.stdout.startswith(b"HTTP/1.1 403 "), done
        assert b'"PEER_REFUSED"' in done.stdout
    assert near.trade(code).status == 200
