"""Rights: a role, a project and a parent can't be taken; starts and changes have a rate; lists have pages."""

from __future__ import annotations

import pytest

from maestro_schemas.limits import NOTE_CHARS_MAX, NOTE_METADATA_BYTES_MAX, Limits
from maestro_schemas.requests import Identity, SessionList, SessionRename, SessionStart, SessionTouch
from maestro_schemas.sessions import NeedsInput, Session, SessionNote
from support.offices import Office, refused

FREE = Limits(rate_limit=0)
OPERATOR = Identity()


@pytest.fixture
def office() -> Office:
    """Two projects, each with an orchestrator (boss, lead) and a worker (ann, bob). The tokens are the ids."""
    made = Office(FREE)
    for project, orchestrator, worker in (("shop", "boss", "ann"), ("yard", "lead", "bob")):
        made.start(orchestrator, role="orchestrator", project_id=project, token=orchestrator)
        made.start(worker, project_id=project, parent_session_id=orchestrator, token=worker)
    return made


def own(session: str) -> Identity:
    return Identity(session, session)


def outcome(office: Office, session: str, who: Identity, **fields: object) -> str:
    """`done`, or the error's code. The start has the session's token."""
    request = SessionStart(id=session, token=session, who=who, **fields)  # type: ignore[arg-type] # any field
    try:
        office.do(request)
    except Exception as error:  # noqa: BLE001 - only MaestroError has a code
        return str(error.code)  # type: ignore[attr-defined]
    return "done"


def of(office: Office, session: str) -> Session:
    return office.state.sessions.by_id(session).session


@pytest.mark.parametrize(
    ("who", "fields", "code"),
    [
        # A worker, with its own token or without naming itself.
        ("ann", {"role": "orchestrator"}, "ROLE_FORBIDDEN"),
        ("ann", {"project_id": "yard"}, "FORBIDDEN"),
        ("ann", {"parent_session_id": "lead"}, "FORBIDDEN"),
        ("ann", {"parent_session_id": "ann"}, "FORBIDDEN"),
        ("ann", {"role": "orchestrator", "project_id": "yard"}, "FORBIDDEN"),
        ("ann", {"role": "worker", "project_id": "shop", "parent_session_id": "boss", "name": "nick"}, "done"),
        # Another worker that knows the token.
        ("bob", {"role": "orchestrator"}, "ROLE_FORBIDDEN"),
        ("bob", {"project_id": "yard"}, "FORBIDDEN"),
        # The orchestrator of the project, and that of another.
        ("boss", {"role": "orchestrator"}, "done"),
        ("boss", {"parent_session_id": "ann"}, "done"),
        ("boss", {"parent_session_id": "lead"}, "FORBIDDEN"),
        ("boss", {"project_id": "yard"}, "FORBIDDEN"),
        ("lead", {"role": "orchestrator"}, "ROLE_FORBIDDEN"),
        ("lead", {"project_id": "yard"}, "FORBIDDEN"),
        (None, {"role": "orchestrator", "project_id": "yard", "parent_session_id": "lead"}, "done"),
    ],
)
@pytest.mark.parametrize("has_ended", [False, True])
def test_who_changes_role_project_and_parent(
    office: Office, who: str | None, fields: dict[str, object], code: str, *, has_ended: bool
) -> None:
    """Of an active session, and of one that is started again."""
    if has_ended:
        office.end("ann")
    before = of(office, "ann")
    assert outcome(office, "ann", own(who) if who else OPERATOR, **fields) == code
    if code != "done":
        assert of(office, "ann") == before


def test_an_ended_orchestrator_has_no_rights(office: Office) -> None:
    office.end("boss")
    assert outcome(office, "ann", own("boss"), role="orchestrator") == "ROLE_FORBIDDEN"
    assert outcome(office, "new", own("boss")) == "SESSION_ENDED"
    assert outcome(office, "boss", own("boss")) == "done", "it may start itself again"


@pytest.mark.parametrize(
    ("who", "fields", "code"),
    [
        ("ann", {}, "done"),
        ("ann", {"project_id": "yard"}, "FORBIDDEN"),
        ("ann", {"project_id": "new"}, "FORBIDDEN"),
        ("ann", {"parent_session_id": "boss"}, "done"),
        ("ann", {"parent_session_id": "lead", "project_id": "shop"}, "FORBIDDEN"),
        ("ann", {"parent_session_id": "lead"}, "FORBIDDEN"),
        ("ann", {"role": "orchestrator"}, "ROLE_FORBIDDEN"),
        ("boss", {"role": "orchestrator"}, "done"),
        ("boss", {"role": "orchestrator", "project_id": "yard"}, "ROLE_FORBIDDEN"),
        ("boss", {"project_id": "yard"}, "done"),
        ("boss", {"parent_session_id": "ann"}, "done"),
        ("boss", {"parent_session_id": "bob"}, "FORBIDDEN"),
        (None, {"role": "orchestrator", "project_id": "yard", "parent_session_id": "ann"}, "done"),
    ],
)
def test_what_a_session_may_start(office: Office, who: str | None, fields: dict[str, object], code: str) -> None:
    assert outcome(office, "new", own(who) if who else OPERATOR, **fields) == code
    assert (office.state.sessions.get("new") is not None) == (code == "done")


def test_a_restart_changes_only_what_it_names(office: Office) -> None:
    """The operator starts an orchestrator again without its role: it stays one, with its parent and its project."""
    office.end("boss")
    before = of(office, "boss")
    assert outcome(office, "boss", OPERATOR) == "done"
    after = of(office, "boss")
    assert (after.role, after.project_id, after.parent_session_id) == (
        before.role,
        before.project_id,
        before.parent_session_id,
    )
    # From another session's shell, that session does not become its parent.
    assert outcome(office, "ann", own("bob")) == "done"
    assert of(office, "ann").parent_session_id == "boss"


def test_sessions_without_a_token(office: Office) -> None:
    """The operator, the session itself and an orchestrator of its project may change one; no other session may."""
    office.start("open", project_id="shop")
    office.start("open2", project_id="yard")
    for who in (OPERATOR, Identity("open"), own("boss")):
        assert office.do(SessionStart(id="open", who=who, cwd=f"/{who.session}")).session.cwd == f"/{who.session}"
    assert refused(office, SessionStart(id="open", who=own("ann"))).code == "NAME_TAKEN"
    office.end("open")
    office.end("open2")
    assert refused(office, SessionStart(id="open", who=own("ann"))).code == "FORBIDDEN"
    assert refused(office, SessionStart(id="open2", who=own("boss"))).code == "FORBIDDEN"
    assert office.do(SessionStart(id="open", who=own("boss"), token="t")).session.has_token


def test_a_key_without_the_operators_rights_changes_none(office: Office) -> None:
    office.circumstances.update(key="k", is_limited=True)
    assert outcome(office, "ann", OPERATOR, role="orchestrator") == "ROLE_FORBIDDEN"
    assert outcome(office, "ann", OPERATOR, project_id="yard") == "FORBIDDEN"
    assert outcome(office, "ann", OPERATOR) == "done"
    assert outcome(office, "new", OPERATOR, project_id="yard") == "done", "what it may start is key_authorization's"
    error = refused(office, SessionRename(id="ann", name="x"))
    assert error.code == "FORBIDDEN"
    assert refused(office, SessionStart(id="bob", token="wrong")).code == "NAME_TAKEN"


# --- rates -------------------------------------------------------------------------------------------------------


def test_a_session_has_a_rate_of_starts() -> None:
    """By itself and through others: an end and a restart count as well. The operator has no limit."""
    office = Office(Limits(start_limit=3))
    office.start("ann", token="ann")
    for number in range(3):
        assert outcome(office, f"w{number}", own("ann")) == "done"
    assert outcome(office, "w2", own("ann")) == "done", "a repeat starts nothing"
    error = refused(office, SessionStart(id="w3", token="t", who=own("ann")))
    assert (error.code, error.limit, error.actual) == ("RATE_LIMITED", 3, 4)
    assert error.retry_after_s == 60.0
    assert "MAESTRO_START_LIMIT" in error.hint
    office.end("ann")
    assert outcome(office, "ann", own("ann")) == "RATE_LIMITED"
    assert outcome(office, "w3", OPERATOR) == "done"
    office.now_ms += 60_001
    assert outcome(office, "ann", own("ann")) == "done"


def test_a_key_has_a_rate_of_starts() -> None:
    office = Office(Limits(start_limit=1))
    office.circumstances.update(key="k", is_limited=True)
    assert [outcome(office, name, OPERATOR) for name in ("one", "two")] == ["done", "RATE_LIMITED"]
    office.circumstances.update(key="other")
    assert outcome(office, "two", OPERATOR) == "done"


def test_a_session_has_a_rate_of_changes() -> None:
    """Notes, statuses and names, by each caller; the sign of life alone is no change."""
    office = Office(Limits(change_limit=3))
    office.start("ann")
    note = SessionNote(type="progress", message="x", timestamp=0)
    office.do(SessionTouch(id="ann", note=note))
    office.do(SessionTouch(id="ann", status="working", who=Identity("ann")))
    office.do(SessionRename(id="ann", name="nick"))
    for request in (SessionTouch(id="ann", note=note), SessionRename(id="ann", name="nock")):
        error = refused(office, request)
        assert (error.code, error.limit, error.actual) == ("RATE_LIMITED", 3, 4)
        assert "session ann has changed 3 times" in error.message
    assert office.do(SessionTouch(id="ann", status="working")).session.last_activity == office.now_ms
    office.now_ms += 60_001
    assert len(office.do(SessionTouch(id="ann", note=note)).session.timeline) == 2


# --- fields that grow ----------------------------------------------------------------------------------------------


def test_a_timeline_keeps_its_newest_notes() -> None:
    """At most 200, and no more bytes than its limit."""
    office = Office(Limits(change_limit=0, session_timeline_bytes_max=4_096))
    office.start("ann")

    def note(text: str) -> tuple[SessionNote, ...]:
        found: Session = office.do(
            SessionTouch(id="ann", note=SessionNote(type="t", message=text, timestamp=1))
        ).session
        return found.timeline

    for number in range(250):
        kept = note(f"{number}")
        assert len(kept) <= 200
    assert kept[-1].message == "249"
    long = "\u00e4" * NOTE_CHARS_MAX
    for _ in range(3):
        kept = note(long)
    assert [one.message for one in kept] == [long], "two of 2,000 bytes and their fields are above the limit"


def test_a_note_that_is_too_long(office: Office) -> None:
    note = SessionNote(type="t", message="x" * (NOTE_CHARS_MAX + 1), timestamp=1)
    error = refused(office, SessionTouch(id="ann", note=note))
    assert (error.code, error.limit, error.actual) == ("TEXT_TOO_LONG", NOTE_CHARS_MAX, NOTE_CHARS_MAX + 1)
    need = NeedsInput(active=True, message="\u009b2J\u202eX")
    assert office.do(SessionTouch(id="ann", needs_input=need)).session.needs_input.message == "X"


def test_a_note_has_an_id_and_metadata(office: Office) -> None:
    """The id makes a repeat no second line; both are checked, and count for the size of the timeline."""
    note = SessionNote("t", "x", 1, id="evt_1", metadata={"messageId": "m"})
    for _ in range(2):
        found: Session = office.do(SessionTouch(id="ann", note=note)).session
    assert found.timeline == (note,)
    for wrong, code in (
        (SessionNote("t", "x", 1, id="../x"), "INVALID_ID"),
        (SessionNote("t", "x", 1, metadata={"x": b"1"}), "INVALID"),
        (SessionNote("t", "x", 1, metadata={"x": "y" * NOTE_METADATA_BYTES_MAX}), "DATA_TOO_LARGE"),
    ):
        assert refused(office, SessionTouch(id="ann", note=wrong)).code == code
    for number in range(100):
        long = SessionNote("t", "x", 1, id=f"evt_x{number}", metadata={"x": "y" * 1_000})
        found = office.do(SessionTouch(id="ann", note=long)).session
        office.now_ms += 60_000
    assert len(found.timeline) == 65_536 // (1_000 + len('{"x":""}') + len("evt_x99") + 2 + 48)


@pytest.mark.parametrize("pid", [0, -1, 1 << 31])
def test_a_pid_that_is_none(office: Office, pid: int) -> None:
    assert refused(office, SessionTouch(id="ann", pid=pid)).code == "INVALID"
    assert refused(office, SessionStart(id="new", pid=pid)).code == "INVALID"


# --- pages -----------------------------------------------------------------------------------------------------


def pages(office: Office, **fields: object) -> list[list[str]]:
    """The ids of each page, with `limit` and the filters in `fields`."""
    found: list[list[str]] = []
    after = None
    while True:
        reply = office.do(SessionList(after=after, **fields))  # type: ignore[arg-type] # any field
        found.append([one.id for one in reply.sessions])
        after = reply.next
        if after is None:
            return found


def test_a_list_has_pages() -> None:
    office = Office(Limits(sessions_reply_max=3))
    for number in range(7):
        office.now_ms += number % 2
        office.start(f"w{number}", project_id="odd" if number % 2 else "even")
    everything = [f"w{number}" for number in range(7)]
    assert pages(office) == [everything[:3], everything[3:6], everything[6:]]
    assert pages(office, limit=7) == pages(office), "no page is larger than the setting"
    assert [one for page in pages(office, limit=2) for one in page] == everything
    assert [one for page in pages(office, project_id="odd", limit=1) for one in page] == everything[1::2]
    office.end("w3")
    assert [one for page in pages(office, active=True) for one in page] == [*everything[:3], *everything[4:]]
    assert pages(office, active=False) == pages(office, status=["completed"]) == [["w3"]]
    assert [one for page in pages(office, status=["idle"], limit=2) for one in page] == [
        *everything[:3],
        *everything[4:],
    ]
    assert refused(office, SessionList(limit=0)).code == "INVALID"
    for after in ("w1", "x.w1", "-1.w1", ".w1", "1" * 16 + ".w1"):
        assert refused(office, SessionList(after=after)).code == "INVALID", after


def test_a_session_that_starts_again_between_two_pages_is_missed_by_neither() -> None:
    office = Office(Limits(sessions_reply_max=2))
    for number in range(3):
        office.now_ms += 1
        office.start(f"w{number}")
    first = office.do(SessionList())
    office.now_ms += 1
    office.end("w2")
    office.start("w2")
    assert [one.id for one in office.do(SessionList(after=first.next)).sessions] == ["w2"]


def test_a_page_is_no_longer_than_a_reply() -> None:
    """Sessions with long timelines come in smaller pages, and never none at all."""
    office = Office(Limits(change_limit=0, reply_bytes_max=65_536))
    for number in range(3):
        office.start(f"w{number}")
        for _ in range(45):
            note = SessionNote(type="t", message="x" * NOTE_CHARS_MAX, timestamp=1)
            office.do(SessionTouch(id=f"w{number}", note=note))
    assert [len(page) for page in pages(office)] == [2, 1]


def test_a_page_looks_at_a_bounded_number_of_sessions() -> None:
    office = Office(Limits(sessions_max=5_000))
    for number in range(2_001):
        office.start(f"w{number:04}", project_id="many")
    office.now_ms += 1
    office.start("last1", project_id="one")
    assert pages(office, project_id="one") == [[], ["last1"]]
