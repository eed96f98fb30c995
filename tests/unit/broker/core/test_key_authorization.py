"""What a key allows: for whom it speaks, what it may start, what it hears."""

from __future__ import annotations

import pytest

from maestro_broker.core import key_authorization
from maestro_schemas.errors import MaestroError
from maestro_schemas.keys import Key
from maestro_schemas.requests import (
    Hello,
    Identity,
    Inbox,
    OutboxDrain,
    Request,
    SessionGet,
    SessionList,
    SessionStart,
    Shutdown,
    Stats,
)
from support.offices import Office, refused

ANN, CARL = Identity("ann"), Identity("carl")


@pytest.fixture
def office() -> Office:
    """ann in shop, bob in yard; carl in shop, started with the key `own`."""
    made = Office()
    made.do(SessionStart(id="ann", project_id="shop"))
    made.do(SessionStart(id="bob", project_id="yard"))
    made.circumstances["key"] = "own"
    made.do(SessionStart(id="carl", project_id="shop"))
    made.circumstances.clear()
    return made


def key(**scope: object) -> Key:
    return Key("own", "p" * 40, 1)._replace(**scope)  # type: ignore[arg-type] # any field


def code(office: Office, held: Key, request: Request) -> str | None:
    try:
        key_authorization.check(office.state, held, request)
    except MaestroError as error:
        assert "'own'" in error.message
        assert error.hint
        return error.code
    return None


@pytest.mark.parametrize(
    ("held", "speaks"),
    [
        (key(), ""),
        (key(own=True), "carl"),
        (key(own=True, name="other"), ""),
        (key(sessions=("bob",)), "bob"),
        (key(project="shop"), "ann carl"),
        (key(any_session=True), "ann bob carl"),
        (key(operator=True), "ann bob carl"),
    ],
)
def test_for_whom_it_speaks(office: Office, held: Key, speaks: str) -> None:
    for session in ("ann", "bob", "carl"):
        may = session in speaks.split()
        for kind in ("", "message.accepted"):
            assert key_authorization.may_hear(office.state, held, f"{session}|{kind}") == may
        if held.name == "own":
            assert code(office, held, Inbox(who=Identity(session))) == (None if may else "FORBIDDEN")
    everything = held.operator
    for topic in ("", "ann", "an", "absent|"):
        assert key_authorization.may_hear(office.state, held, topic) == everything
    assert key_authorization.may_hear(office.state, held, "~probe|")


def test_what_is_the_operators(office: Office) -> None:
    for request in (Stats(who=ANN), OutboxDrain(), Shutdown(who=ANN)):
        assert code(office, key(any_session=True), request) == "FORBIDDEN"
        assert code(office, key(operator=True), request) is None
    assert code(office, key(any_session=True), Inbox()) == "NO_SESSION"
    assert code(office, key(operator=True), Inbox()) is None
    for asked in (Hello(), SessionGet(id="ann"), SessionList()):
        assert code(office, key(), asked) is None
    assert code(office, key(), Inbox(who=Identity("absent"))) is None, "the core says that there is none"


def test_what_it_may_start(office: Office) -> None:
    def start(held: Key, session: str, project: str | None = None, role: str = "worker") -> str | None:
        return code(office, held, SessionStart(id=session, project_id=project, role=role))  # type: ignore[arg-type]

    assert start(key(own=True), "new") is None
    assert start(key(own=True), "new", role="orchestrator") == "ROLE_FORBIDDEN"
    assert start(key(own=True, orchestrator=True), "new", role="orchestrator") is None
    assert start(key(own=True), "ann") == "FORBIDDEN"
    assert start(key(own=True), "carl") is None
    assert start(key(sessions=("bob",)), "bob") is None
    assert start(key(sessions=("bob",)), "new") == "FORBIDDEN"
    assert start(key(any_session=True), "ann") is None
    assert start(key(project="shop"), "ann") is None
    assert start(key(project="shop"), "ann", "shop") is None
    assert start(key(project="shop"), "ann", "yard") == "FORBIDDEN"
    assert start(key(project="shop"), "bob") == "FORBIDDEN"
    assert start(key(project="shop"), "new", "yard") == "FORBIDDEN"
    held = key(project="shop")
    put = key_authorization.check(office.state, held, SessionStart(id="new"))
    assert isinstance(put, SessionStart)
    assert put.project_id == "shop"


def test_a_key_gives_no_child_to_a_session_of_others(office: Office) -> None:
    def start(held: Key, parent: str, who: Identity = Identity()) -> str | None:  # noqa: B008 - it is frozen
        return code(office, held, SessionStart(id="new", parent_session_id=parent, who=who))

    assert start(key(own=True), "carl") is None
    assert start(key(own=True), "ann") == "FORBIDDEN"
    assert start(key(project="shop"), "bob") == "FORBIDDEN"
    assert start(key(any_session=True), "bob") is None
    assert start(key(operator=True), "bob") is None
    assert start(key(own=True), "ann", CARL) is None, "the core asks what carl may"


def test_a_key_without_the_operators_rights_takes_no_session_over(office: Office) -> None:
    office.circumstances.update(key="own", is_limited=True)
    for request in (
        SessionStart(id="ann", token="t", takeover=True),
        SessionStart(id="ann", token="t", replace=True),
    ):
        assert refused(office, request).code == "FORBIDDEN"


def test_whose_it_was_first_it_stays(office: Office) -> None:
    office.circumstances["key"] = "another"
    office.do(SessionStart(id="carl", name="again"))
    office.do(SessionStart(id="ann", name="again too"))
    found = {session.session.id: session.key for session in office.state.sessions}
    assert found == {"ann": None, "bob": None, "carl": "own"}
