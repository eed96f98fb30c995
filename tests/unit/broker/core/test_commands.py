"""The core, command by command: what the state machine does not say by name."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from maestro_broker.core import visibility
from maestro_broker.core.model import records
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.checkpoint import decode as decode_heads
from maestro_broker.core.model.checkpoint import encode as encode_heads
from maestro_broker.core.model.deadlines import Deadlines
from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.records import (
    Accepted,
    Confirmed,
    Deleted,
    Expired,
    Refused,
    SessionChanged,
    SessionForgotten,
)
from maestro_broker.core.sending import acceptance
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message, Metadata
from maestro_schemas.names import SYSTEM_SENDER, mark_of
from maestro_schemas.requests import (
    Confirm,
    Delete,
    GetMessage,
    Identity,
    Inbox,
    Outgoing,
    Request,
    Send,
    SessionEnd,
    SessionGet,
    SessionList,
    SessionStart,
    SessionTouch,
)
from maestro_schemas.sessions import NeedsInput, SessionNote
from support.offices import Office, keys, refused

FREE = Limits(rate_limit=0)


@pytest.fixture
def office() -> Office:
    """An orchestrator and two workers of one project, one of another."""
    office = Office(FREE)
    office.start("boss", role="orchestrator", name="chief")
    office.start("ann", parent_session_id="boss", name="worker")
    office.start("bob", parent_session_id="boss")
    office.share_name("bob", "worker")
    office.start("cyd", project_id="elsewhere")
    return office


def _send(sender: str | None, *outgoing: Outgoing, token: str | None = None) -> Send:
    return Send(messages=list(outgoing), who=Identity(sender, token))


def _code(result: Any) -> str:
    assert isinstance(result.error, dict), result
    return str(result.error["code"])


# --- sending ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("absent", "RECEIVER_NOT_FOUND"),
        ("worker", "AMBIGUOUS_NAME"),
        ("parent", "RECEIVER_NOT_FOUND"),
        ("bos", "RECEIVER_NOT_FOUND"),
    ],
)
def test_receivers_that_cannot_be_found(office: Office, to: str, code: str) -> None:
    """Each says what to do."""
    result = office.send("boss", to, "m1")
    assert _code(result) == code
    assert isinstance(result.error, dict)
    assert result.error["hint"]
    if code == "AMBIGUOUS_NAME":
        assert result.error["details"] == {"ids": ["ann", "bob"]}
    if to == "bos":
        assert "Did you mean boss" in result.error["hint"]


def test_an_unknown_receiver_is_looked_up_once_until_a_session_starts(office: Office) -> None:
    """The same answer each time; and who comes under that name is found at once."""
    first = office.send("boss", "bosss", "m1")
    again = office.send("boss", "bosss", "m2")
    assert isinstance(first.error, dict)
    assert first.error == again.error
    for number in range(100):
        assert _code(office.send("boss", f"absent_{number}", f"n{number}")) == "RECEIVER_NOT_FOUND"
    assert _code(office.send("boss", "x" * 65, "m3")) == "RECEIVER_NOT_FOUND"
    office.start("bosss")
    assert office.accept("boss", "bosss", "m4").to == "bosss"


def test_names_and_parent_are_addresses(office: Office) -> None:
    """A unique name, and `parent`; an ended session gives its name up."""
    assert office.accept("ann", "chief", "m1").to == "boss"
    assert office.accept("ann", "parent", "m2").to == "boss"
    office.end("bob")
    assert office.accept("boss", "worker", "m3").to == "ann"
    office.now_ms += 1
    office.end("ann")
    result = office.send("boss", "worker", "m4")
    assert _code(result) == "RECEIVER_ENDED"
    assert "ann" in result.error["message"], "the one that ended last"  # type: ignore[index]


def test_who_may_send(office: Office) -> None:
    """No session, an unknown one, an ended one, a wrong token: 401, and nothing is sent."""
    office.start("tok", token="secret")
    one = Outgoing(id="m1", to="boss", text="x")
    assert refused(office, _send(None, one)).code == "NO_SESSION"
    assert refused(office, _send("ghost", one)).code == "UNKNOWN_SESSION"
    assert refused(office, _send("tok", one)).code == "TOKEN_REQUIRED"
    assert refused(office, _send("tok", one, token="wrong")).code == "TOKEN_MISMATCH"
    office.end("cyd")
    assert refused(office, _send("cyd", one)).code == "SESSION_ENDED"
    assert office.inbox("boss") == []


def test_one_key_of_two_senders_names_two_messages(office: Office) -> None:
    """Also in one mailbox, when filed, and when one of them is deleted: an id is its sender's alone."""
    office.accept("ann", "boss", "m1", "from ann")
    ann_id = office.ids["m1"]
    assert office.send("bob", "boss", "m1", "from bob").status == 201
    office.file()
    office.crash()
    assert office.send("bob", "boss", "m1", "from bob").status == 200
    assert [message.text for message in office.inbox("boss")] == ["from ann", "from bob"]
    office.delete("boss", ann_id)
    assert office.send("ann", "bob", "m1", "from ann").state == "deleted", "ann's m1 was deleted, for any receiver"
    assert office.accept("cyd", "boss", ann_id, "claimed").id == f"{ann_id}_{mark_of('cyd')}"
    assert [message.text for message in office.inbox("boss")] == ["from bob", "claimed"]


def test_the_same_id_to_another_receiver_is_a_conflict(office: Office) -> None:
    """Receiver, text, metadata and life make the message."""
    first: dict[str, Any] = {"ttl_ms": 5_000, "metadata": Metadata(task_id="t")}
    office.accept("boss", "ann", "m1", "x", **first)
    assert office.send("boss", "ann", "m1", "x", **first).status == 200
    assert _code(office.send("boss", "bob", "m1", "x", **first)) == "CONFLICT"
    assert _code(office.send("boss", "ann", "m1", "y", **first)) == "CONFLICT"
    assert _code(office.send("boss", "ann", "m1", "x", **first | {"ttl_ms": None})) == "CONFLICT"
    assert _code(office.send("boss", "ann", "m1", "x", **first | {"metadata": Metadata()})) == "CONFLICT"


def test_a_repeat_by_name_holds_when_the_name_is_gone(office: Office) -> None:
    """The receiver has ended since: the send was accepted all the same."""
    office.accept("ann", "chief", "m1")
    office.end("boss")
    assert office.send("ann", "chief", "m1").status == 200


def test_an_id_that_is_none(office: Office) -> None:
    """It would be a path."""
    for bad in ("../../etc/passwd", "", "x" * 65, "a b"):
        assert _code(office.send("ann", "boss", bad)) == "INVALID_ID"
        assert office.reads == []


def test_lives(office: Office) -> None:
    """A life has bounds. An expired message is not shown, and its sender sees the status."""
    for ttl_ms in (0, -1, FREE.ttl_ms_max + 1):
        assert _code(office.send("ann", "boss", f"m{ttl_ms}", ttl_ms=ttl_ms)) == "INVALID"
    result = office.accept("ann", "boss", "m1", ttl_ms=100)
    assert result.expires_at == office.now_ms + 100
    office.now_ms += 100
    assert office.inbox("boss") == []
    office.expire_due()
    assert office.do(GetMessage(id="m1", who=Identity("ann"))).message.status == "expired"
    assert office.confirm("boss", "delivered", "m1") == [409]


def test_back_pressure_refuses_sends_and_leaves_no_line(office: Office) -> None:
    """BUSY and STORAGE_FULL are about the moment; what was accepted before is still answered as accepted."""
    office.accept("ann", "boss", "m1")
    office.circumstances["back_pressure"] = MaestroError("STORAGE_FULL", "full", retry_after_s=2.0)
    before = len(office.journal)
    assert _code(office.send("ann", "boss", "m2")) == "STORAGE_FULL"
    assert _code(office.send("ann", "ghost", "m3")) == "RECEIVER_NOT_FOUND"
    assert refused(office, _send("ghost", Outgoing(id="m", to="boss", text="x"))).code == "UNKNOWN_SESSION"
    assert office.send("ann", "boss", "m1").status == 200
    assert len(office.journal) == before
    office.circumstances.clear()
    assert office.send("ann", "boss", "m2").status == 201


def test_a_full_mailbox(office: Office) -> None:
    """Typed, retryable, with both numbers; reading makes room."""
    small = Office(Limits(rate_limit=0, pending_max=2))
    small.start("boss", role="orchestrator")
    for number in (1, 2):
        small.accept("boss", "boss", f"m{number}")
    result = small.send("boss", "boss", "m3")
    assert _code(result) == "MAILBOX_FULL"
    assert isinstance(result.error, dict)
    assert (result.error["limit"], result.error["actual"]) == (2, 3)
    small.confirm("boss", "delivered", "m1")
    assert small.send("boss", "boss", "m3").status == 201


def test_threads(office: Office) -> None:
    """The thread is its first message's id, however deep; a deleted root still names it."""
    office.accept("boss", "ann", "root")
    reply = office.accept("ann", "boss", "r1", metadata=Metadata(in_reply_to="root"))
    root = office.ids["root"]
    assert reply.thread_id == root
    assert office.accept("boss", "ann", "r2", metadata=Metadata(in_reply_to="r1")).thread_id == root
    office.delete("ann", "root")
    office.file()
    office.crash()
    assert office.accept("ann", "boss", "r3", metadata=Metadata(in_reply_to="root")).thread_id == root
    assert office.accept("ann", "boss", "r4", metadata=Metadata(in_reply_to="r2")).thread_id == root
    # bob can't answer a message of other sessions: he doesn't enter its thread and can't read it.
    for answered in ("r2", "root", "absent"):
        assert _code(office.send("bob", "boss", "r5", metadata=Metadata(in_reply_to=answered))) == "MESSAGE_NOT_FOUND"
    # boss sent the root, which ann has deleted.
    assert office.accept("boss", "bob", "r8", metadata=Metadata(in_reply_to="root")).thread_id == root
    assert _code(office.send("bob", "boss", "r6", metadata=Metadata(in_reply_to="a/b"))) == "INVALID_ID"


def test_the_operator_may_name_the_mailbox(office: Office) -> None:
    """Then no other is looked through; in the wrong one there is no such message."""
    office.accept("boss", "ann", "m1")
    office.file()
    office.make_checkpoint()
    office.crash()
    for reads in ([Read("file", "ann", office.ids["m1"])], []):
        assert office.do(GetMessage(id="m1", session="ann")).message.id == office.ids["m1"]
        assert office.reads == reads
    for session in ("bob", "absent"):
        assert refused(office, GetMessage(id="m1", session=session)).code == "MESSAGE_NOT_FOUND"
    # To a session it means nothing: what it may see, it may see.
    assert office.do(GetMessage(id="m1", session="bob", who=Identity("ann"))).message.id == office.ids["m1"]


def test_a_batch_is_judged_one_by_one(office: Office) -> None:
    """And a batch that is too long is refused whole."""
    batch = [
        Outgoing(id="m1", to="boss", text="x"),
        Outgoing(id="m2", to="ghost", text="x"),
        Outgoing(id="m1", to="boss", text="x"),
    ]
    results = office.do(_send("ann", *batch)).results
    assert [result.status for result in results] == [201, 404, 200]
    many = [Outgoing(id=f"n{i}", to="boss", text="x") for i in range(257)]
    assert refused(office, _send("ann", *many)).code == "TOO_MANY"


def test_mail_from_the_post_office(office: Office) -> None:
    """Once per id, and only to sessions that exist."""
    assert acceptance.notify(office.state, "ann", "n1", "text\x1b[0m", office.now_ms)
    assert not acceptance.notify(office.state, "ann", "n1", "text", office.now_ms)
    assert not acceptance.notify(office.state, "ghost", "n2", "text", office.now_ms)
    office.commit()
    [message] = office.inbox("ann")
    assert (message.sender, message.text, message.meta.type) == ("maestro", "text", "notification")
    office.crash()
    [message] = office.inbox("ann")
    assert message.id == f"n1_{mark_of(SYSTEM_SENDER)}"


# --- receiving -------------------------------------------------------------------------------------------


def test_an_inbox_is_its_owners(office: Office) -> None:
    """The operator reads any, by id or by name; another session none."""
    office.accept("boss", "ann", "m1")
    assert len(office.do(Inbox(session="ann")).messages) == 1
    assert office.do(Inbox(session="chief")).messages == []
    assert refused(office, Inbox(session="ann", who=Identity("bob"))).code == "FORBIDDEN"
    assert refused(office, Inbox()).code == "NO_SESSION"
    assert refused(office, Inbox(session="ghost")).code == "SESSION_NOT_FOUND"
    assert refused(office, Inbox(who=Identity("ghost"))).code == "UNKNOWN_SESSION"


def test_an_inbox_by_sender_and_by_thread(office: Office) -> None:
    """A sender by its id or name, also the post office itself and one that is forgotten."""
    office.accept("boss", "ann", "m1")
    office.accept("ann", "boss", "m2", metadata=Metadata(in_reply_to="m1"))
    office.accept("boss", "ann", "m3", metadata=Metadata(in_reply_to="m2"))
    office.accept("boss", "ann", "m4")
    acceptance.notify(office.state, "ann", "n1", "text", office.now_ms)
    office.commit()

    def ids(**fields: Any) -> list[str]:
        return [message.id for message in office.do(Inbox(session="ann", **fields)).messages]

    sent = office.named(["m1", "m3", "m4"])
    assert ids(sender="boss") == ids(sender="chief") == sent
    assert ids(sender="maestro") == [f"n1_{mark_of(SYSTEM_SENDER)}"]
    assert ids(sender="bob") == ids(sender="ghost") == []
    assert ids(thread=sent[0]) == ids(thread=sent[0], sender="boss") == sent[:2]
    assert ids(thread=sent[2]) == sent[2:]
    assert ids(thread="ghost") == []
    office.share_name("ann", "twin")
    office.share_name("bob", "twin")
    assert refused(office, Inbox(session="ann", sender="twin")).code == "AMBIGUOUS_NAME"


def test_priorities_go_first_without_a_cursor(office: Office) -> None:
    """With one, strictly by seq."""
    for message_id, priority in (("m1", "low"), ("m2", None), ("m3", "high"), ("m4", "medium")):
        office.accept("boss", "ann", message_id, metadata=Metadata(priority=priority))  # type: ignore[arg-type]
    assert keys(office.inbox("ann")) == ["m3", "m2", "m4", "m1"]
    assert keys(office.inbox("ann", since=1)) == ["m2", "m3", "m4"]
    assert keys(office.inbox("ann", since=-5)) == ["m1", "m2", "m3", "m4"]
    assert keys(office.inbox("ann", since=99)) == []


def test_pages(office: Office) -> None:
    """`upTo` is the cursor, over deleted numbers too; a page is bounded in number and in bytes."""
    for number in range(1, 8):
        office.accept("boss", "ann", f"m{number}")
    office.delete("ann", "m2")
    first = office.do(Inbox(who=Identity("ann"), since=0, limit=3))
    assert ([m.seq for m in first.messages], first.up_to, first.has_more) == ([1, 3, 4], 4, True)
    rest = office.do(Inbox(who=Identity("ann"), since=first.up_to))
    assert ([m.seq for m in rest.messages], rest.up_to, rest.has_more) == ([5, 6, 7], 7, False)
    office.state.limits = FREE._replace(reply_bytes_max=1_200)
    assert office.do(Inbox(who=Identity("ann"), since=0)).count == 2
    office.accept("boss", "ann", "big", "\u00fc" * 9_000, metadata=Metadata(data={"x": 1}))
    assert office.do(Inbox(who=Identity("ann"), since=7)).count == 1, "one too large for a page is still given"


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": 0},
        {"limit": -1},
        {"lease_ms": 10},
        {"lease_ms": 10, "reader": "a/b"},
        {"lease_ms": 0, "reader": "r"},
        {"lease_ms": 10**9, "reader": "r"},
    ],
)
def test_bad_reads(office: Office, fields: dict[str, Any]) -> None:
    """Each a typed error."""
    assert refused(office, Inbox(who=Identity("ann"), **fields)).code == "INVALID"


def test_type_filter_and_all_statuses(office: Office) -> None:
    """What REST asks for."""
    office.accept("boss", "ann", "m1", metadata=Metadata(type="request"))
    office.accept("boss", "ann", "m2")
    assert keys(office.inbox("ann", type="request")) == ["m1"]
    office.confirm("ann", "read", "m1")
    office.file()
    assert keys(office.inbox("ann", status=["read"])) == ["m1"], "read from disk again"
    assert keys(office.inbox("ann")) == ["m2"]


def test_leases(office: Office) -> None:
    """Another reader waits for the end, the same one does not, and a lease outlives eviction."""
    office.accept("boss", "ann", "m1")
    office.accept("boss", "ann", "m2")
    one = office.do(Inbox(who=Identity("ann"), lease_ms=90_000, reader="one", limit=1, since=0))
    two = office.do(Inbox(who=Identity("ann"), lease_ms=90_000, reader="two", since=0))
    assert (keys(one.messages), keys(two.messages)) == (["m1"], ["m2"])
    assert (two.leased, two.lease_ends_in_ms, two.up_to) == (1, 90_000, 0)
    office.file()
    office.now_ms += 80_000
    office.tick()
    assert office.inbox("ann", lease_ms=10, reader="three") == []
    assert len(office.inbox("ann")) == 2, "without a lease nothing is hidden"
    office.now_ms += 11_000
    assert set(keys(office.inbox("ann", lease_ms=10, reader="three"))) == {"m1", "m2"}


def test_what_was_not_offered_yet(office: Office) -> None:
    """Hooks ask for it, so that each message is announced once; a confirmation of any kind ends the lease."""
    for message_id in ("m1", "m2", "m3"):
        office.accept("boss", "ann", message_id)
    leased = Inbox(who=Identity("ann"), offered=False, lease_ms=90_000, reader="hook", limit=2)
    assert keys(office.do(leased).messages) == ["m1", "m2"]
    assert office.confirm("ann", "offered", "m1") == [200]
    assert keys(office.inbox("ann", offered=False)) == ["m2", "m3"]
    assert keys(office.inbox("ann", offered=True)) == ["m1"]
    page = office.do(Inbox(who=Identity("ann"), lease_ms=10, reader="other"))
    assert keys(page.messages) == ["m1", "m3"], "m2 is still held back, m1 no longer"
    assert (page.pending, page.unoffered) == (3, 2)


def test_quiet_mail_is_held_until_other_mail_comes(office: Office) -> None:
    """It is neither leased nor passed over meanwhile; then the page has all, in its order."""
    for message_id in ("m1", "m2"):
        office.accept("boss", ["ann", "bob"], message_id)
    asked = Inbox(who=Identity("ann"), hold_quiet=True, lease_ms=90_000, reader="hook", since=0)
    held = office.do(asked)
    assert (held.messages, held.has_more, held.up_to, held.head_seq, held.pending) == ([], False, 0, 2, 2)
    assert len(office.inbox("ann", lease_ms=10, reader="other")) == 2, "it was not leased"
    assert office.do(replace(asked, since=None)).up_to == 0
    office.now_ms += 20
    office.accept("boss", ["ann", "bob"], "m3", metadata=Metadata(requires_ack=True))
    office.accept("boss", ["ann", "bob"], "m4")
    assert keys(office.do(replace(asked, limit=2)).messages) == ["m1", "m2"], "the one that asks is on the next page"
    assert keys(office.do(asked).messages) == ["m1", "m2", "m3", "m4"]
    assert keys(office.do(replace(asked, since=None)).messages) == ["m1", "m2", "m3", "m4"]
    assert office.do(replace(asked, reader="other")).leased == 1, "only what could end the waiting"
    office.confirm("ann", "offered", "m3")
    assert office.do(replace(asked, offered=False)).messages == [], "an announced message holds nothing open again"
    assert len(office.do(asked).messages) == 4
    assert keys(office.inbox("ann", hold_quiet=True)) == ["m1", "m2", "m3", "m4"]


def test_confirmations(office: Office) -> None:
    """Forward only, each time once, with `via`; unknown ids have results of their own."""
    office.accept("boss", "ann", "m1")
    assert office.confirm("ann", "offered", "m1", "ghost") == [200, 404]
    assert office.confirm("ann", "offered", "m1") == [200]
    office.do(Confirm(ids=["m1"], kind="delivered", via="cli", who=Identity("ann")))
    at = office.now_ms
    office.now_ms += 5
    records_before = len(office.journal)
    assert office.confirm("ann", "delivered", "m1") == [200]
    assert len(office.journal) == records_before, "nothing new, nothing written"
    assert office.confirm("ann", "read", "m1") == [200]
    assert office.confirm("ann", "read", "m1") == [200]
    message = office.do(GetMessage(id="m1", who=Identity("ann"))).message
    assert (message.status, message.delivered_at, message.delivered_via, message.read_at) == (
        "read",
        at,
        "cli",
        at + 5,
    )
    assert refused(office, Confirm(ids=[], kind="read", via="a\nb", who=Identity("ann"))).code == "INVALID"
    assert refused(office, Confirm(ids=["x"] * 257, kind="read", who=Identity("ann"))).code == "TOO_MANY"


def test_read_at_once_is_delivered_and_offered_too(office: Office) -> None:
    """Read implies both."""
    office.accept("boss", "ann", "m1")
    office.do(Confirm(ids=["m1"], kind="read", via="rest", who=Identity("ann")))
    message = office.do(GetMessage(id="m1")).message
    assert (message.offered_at, message.delivered_at, message.delivered_via) == (office.now_ms, office.now_ms, "rest")


def test_the_operator_needs_no_mailbox_name(office: Office) -> None:
    """`PATCH /api/messages/:id` names none; ids of several mailboxes may be mixed."""
    office.accept("boss", "ann", "m1")
    office.accept("boss", "bob", "m2")
    office.file()
    office.crash()
    results = office.do(Confirm(ids=["m1", "m2", "a/b", "m3"], kind="read")).results
    assert [result.status for result in results] == [200, 200, 404, 404]
    assert [result.status for result in office.do(Delete(ids=["m1", "m2"])).results] == [200, 200]
    assert office.do(Delete(ids=["m1"], session="ann")).results[0].status == 200, "deleted, and not filed yet"


def test_deleting(office: Office) -> None:
    """After filing, a second delete finds nothing; the sender's repeat is still answered `deleted`."""
    office.accept("boss", "ann", "m1")
    assert office.delete("ann", "m1") == [200]
    assert office.delete("ann", "m1") == [200]
    office.file()
    assert office.delete("ann", "m1") == [404]
    assert office.send("boss", "ann", "m1").state == "deleted"
    assert refused(office, GetMessage(id="m1", who=Identity("boss"))).code == "MESSAGE_NOT_FOUND"
    assert refused(office, GetMessage(id="../m1")).code == "MESSAGE_NOT_FOUND"
    assert office.accept("bob", "ann", "m1", "bob has this key of his own").status == 201
    assert office.send("boss", "ann", "m1").state == "deleted"


# --- sessions --------------------------------------------------------------------------------------------


def test_starting_again_is_one_session(office: Office) -> None:
    """The same start is the same answer; an ended one is reopened by its token, and keeps its mail."""
    start = SessionStart(
        id="tok", token="secret", name="n", task_ids=["t1"], metadata={"a": 1}, agent="claude", pid=7, cwd="/x"
    )
    first = office.do(start).session
    assert first.has_token
    before = len(office.journal)
    assert office.do(start).session == first
    assert len(office.journal) == before
    for token in (None, "other"):
        assert refused(office, SessionStart(id="tok", token=token)).code == "NAME_TAKEN"
    office.accept("boss", "tok", "m1")
    office.end("tok")
    assert refused(office, SessionStart(id="tok")).code == "TOKEN_REQUIRED"
    assert refused(office, SessionStart(id="tok", token="other")).code == "TOKEN_MISMATCH"
    assert _code(office.send("boss", "tok", "m2")) == "RECEIVER_ENDED"
    office.now_ms += 10
    again = office.do(SessionStart(id="tok", token="secret")).session
    assert (again.status, again.name, again.task_ids, again.started_at) == ("idle", "n", ("t1",), office.now_ms)
    reply = office.do(Inbox(who=Identity("tok", "secret")))
    assert keys(reply.messages) == ["m1"]


def test_a_worker_starts_only_workers(office: Office) -> None:
    """Its children are its own, in its project."""
    child = office.do(SessionStart(id="kid", who=Identity("cyd"))).session
    assert (child.parent_session_id, child.project_id) == ("cyd", "elsewhere")
    assert refused(office, SessionStart(id="kid2", role="orchestrator", who=Identity("cyd"))).code == "ROLE_FORBIDDEN"
    assert refused(office, SessionStart(id="ann", who=Identity("cyd"))).code == "NAME_TAKEN"
    assert refused(office, SessionStart(id="kid3", parent_session_id="ghost")).code == "SESSION_NOT_FOUND"
    assert office.do(SessionStart(id="cyd", status="working", who=Identity("cyd"))).session.parent_session_id is None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "a\nb"}, "INVALID"),
        ({"project_id": ""}, "INVALID"),
        ({"token": "x" * 300}, "INVALID"),
        ({"metadata": {"x": "y" * 20_000}}, "DATA_TOO_LARGE"),
        ({"agent": "\x00"}, "INVALID"),
        ({"task_ids": ["ok", ""]}, "INVALID"),
        ({"task_ids": ["t"] * 257}, "TOO_MANY"),
    ],
)
def test_bad_starts(office: Office, fields: dict[str, Any], code: str) -> None:
    """Each a typed error, and no session."""
    if "project_id" in fields:
        fields = {"project_id": " "}
    assert refused(office, SessionStart(id="new", **fields)).code == code
    assert refused(office, SessionGet(id="new")).code == "SESSION_NOT_FOUND"


def test_limits_of_sessions() -> None:
    """The number of active sessions is limited, and tokens may be required."""
    office = Office(Limits(sessions_max=1, require_token=1))
    assert refused(office, SessionStart(id="a")).code == "TOKEN_REQUIRED"
    office.start("a", token="t")
    error = refused(office, SessionStart(id="b", token="t"))
    assert (error.code, error.limit, error.actual) == ("TOO_MANY", 1, 2)
    office.end("a")
    office.start("b", token="t")


def test_ending(office: Office) -> None:
    """By itself, its parent, the operator; twice is once."""
    assert refused(office, SessionEnd(id="ann", who=Identity("bob"))).code == "FORBIDDEN"
    assert office.do(SessionEnd(id="ann", who=Identity("boss"), status="failed")).session.status == "failed"
    assert office.do(SessionEnd(id="ann")).session.status == "failed"
    assert office.do(SessionEnd(who=Identity("bob"))).session.completed_at == office.now_ms
    assert refused(office, SessionEnd()).code == "NO_SESSION"


def test_listing(office: Office) -> None:
    """With every filter."""
    office.end("bob")

    def ids(**fields: Any) -> list[str]:
        return [session.id for session in office.do(SessionList(**fields)).sessions]

    assert ids() == ["ann", "bob", "boss", "cyd"]
    assert ids(active=True) == ["ann", "boss", "cyd"]
    assert ids(active=False) == ids(status=["completed"]) == ["bob"]
    assert ids(project_id="elsewhere") == ["cyd"]
    assert ids(parent_session_id="boss") == ["ann", "bob"]
    assert office.do(SessionGet(id="chief")).session.id == "boss"
    assert office.do(SessionGet(who=Identity("ann"))).session.id == "ann"


def test_touching(office: Office) -> None:
    """A sign of life is soft; a change is a record."""
    before = len(office.journal)
    office.now_ms += 50
    touched = office.do(SessionTouch(who=Identity("ann"))).session
    assert (touched.last_activity, len(office.journal)) == (office.now_ms, before)
    note = SessionNote(type="progress", message="half done", timestamp=0)
    changed = office.do(
        SessionTouch(
            id="ann",
            status="working",
            needs_input=NeedsInput(active=True),
            task_ids=["t"],
            note=note,
            agent="x",
            pid=1,
            cwd="/c",
            agent_session_id="s",
        )
    ).session
    assert (changed.status, changed.task_ids, changed.timeline[0].timestamp) == ("working", ("t",), office.now_ms)
    assert refused(office, SessionTouch(id="ann", who=Identity("bob"))).code == "FORBIDDEN"
    assert refused(office, SessionTouch(id="ann", agent="")).code == "INVALID"
    office.end("ann")
    assert refused(office, SessionTouch(id="ann")).code == "SESSION_ENDED"


def test_the_operators_setting_is_no_sign_of_the_sessions_life(office: Office) -> None:
    before = office.do(SessionGet(id="ann")).session.last_activity
    office.now_ms += 50
    changed = office.do(SessionTouch(id="ann", wake="off")).session
    assert (changed.wake, changed.last_activity) == ("off", before)
    again = office.do(SessionTouch(who=Identity("ann"), wake="off")).session
    assert again.last_activity == office.now_ms


@pytest.mark.parametrize(("first", "then"), [("offered", "delivered"), ("delivered", "read"), ("read", "read")])
def test_what_had_woken_the_agent_stays_with_the_message(office: Office, first: Any, then: Any) -> None:
    office.accept("boss", "ann", "m1")
    who, ids = Identity("ann"), [f"m1_{mark_of('boss')}"]
    office.do(Confirm(who=who, ids=ids, kind=first, via="hook:x", woken_by="claude-code:FileChanged"))
    office.do(Confirm(who=who, ids=ids, kind=then, via="cli"))
    message = office.do(GetMessage(who=who, id=ids[0])).message
    assert message.woken_by == "claude-code:FileChanged"


# --- records, events, heads ------------------------------------------------------------------------------


def test_every_record_is_an_event(office: Office) -> None:
    """And round-trips through the journal's bytes (the office asserts it for each)."""
    office.accept("boss", "ann", "m1", metadata=Metadata(priority="high", type="request", task_id="t"))
    office.confirm("ann", "offered", "m1")
    office.confirm("ann", "read", "m1")
    office.delete("ann", "m1")
    office.accept("boss", "ann", "m2", ttl_ms=1)
    office.now_ms += 5
    office.expire_due()
    office.send("boss", "ghost", "m3")
    office.end("ann")
    events = [records.event(lsn, records.decode(body)) for lsn, body in enumerate(office.journal, start=1)]
    names = {event.event for event in events}
    assert names >= {
        "message.accepted", "message.offered", "message.read", "message.deleted", "message.expired",
        "message.refused", "session.started", "session.ended",
    }  # fmt: skip
    refusal = next(event for event in events if event.event == "message.refused")
    assert (refusal.parties(), refusal.code) == (("boss",), "RECEIVER_NOT_FOUND")
    with pytest.raises(MaestroError):
        records.decode(b"\xc1")


def test_who_sees_an_event(office: Office) -> None:
    """Own lines; an orchestrator its project's; the operator all."""
    mine = Event(lsn=1, at=0, event="message.read", sender="bob", receiver="ann")
    foreign = Event(lsn=1, at=0, event="session.started", session="cyd")
    get = office.state.sessions.get
    assert visibility.sees_event(office.state, None, foreign)
    assert visibility.sees_event(office.state, get("ann"), mine)
    assert not visibility.sees_event(office.state, get("ann"), foreign)
    assert visibility.sees_event(office.state, get("boss"), mine)
    assert not visibility.sees_event(office.state, get("boss"), foreign)


def test_heads_file() -> None:
    """Whole or an error; old sends are dropped."""
    office = Office()
    office.start("boss", role="orchestrator")
    office.accept("boss", "boss", "m1", ttl_ms=70_000)
    office.now_ms += 61_000
    office.accept("boss", "boss", "m2", ttl_ms=5_000)
    office.file()
    office.heads.forget_old_sends()
    assert office.heads.sends == {"boss": [office.now_ms]}
    assert decode_heads(encode_heads(office.heads)) == office.heads
    assert office.heads.mailboxes["boss"].next_expiry_ms == office.now_ms + 5_000
    raw = encode_heads(office.heads)
    for broken in (b"", raw[:-1], raw[:6] + b"\x00" + raw[7:]):
        with pytest.raises(MaestroError):
            decode_heads(broken)
    office.make_checkpoint()
    office.crash()
    assert office.state.mailboxes["boss"].next_expiry_ms == office.now_ms + 5_000
    office.now_ms += 6_000
    office.expire_due()
    assert keys(office.inbox("boss", status=["expired"])) == ["m2"]
    office.now_ms += 50_000
    office.expire_due()
    assert keys(office.inbox("boss", status=["expired"])) == ["m1", "m2"]


def test_a_heads_file_that_is_no_heads() -> None:
    """The checksum fits and the content does not."""
    import zlib

    body = b"\x93\x01\x02\x03"
    with pytest.raises(MaestroError):
        decode_heads(zlib.crc32(body).to_bytes(4, "big") + body)


def test_the_rate_window_survives_a_crash() -> None:
    """From the checkpoint and from the journal's tail alike."""
    office = Office(Limits(rate_limit=2))
    office.start("boss", role="orchestrator")
    office.accept("boss", "boss", "m1")
    office.file()
    office.make_checkpoint()
    office.accept("boss", "boss", "m2")
    office.crash()
    assert _code(office.send("boss", "boss", "m3")) == "RATE_LIMITED"
    office.now_ms += 60_000
    assert office.send("boss", "boss", "m3").status == 201
    office.now_ms += 61_000
    office.tick()


def test_a_mailbox_whose_files_do_not_fit_its_counters(office: Office) -> None:
    """It is counted again, and reported."""
    office.accept("boss", "ann", "m1")
    office.file()
    office.make_checkpoint()
    office.crash()
    del office.files["ann", office.ids["m1"]]
    assert office.inbox("ann") == []
    assert office.state.take_counter_mismatches() == ["ann"]
    assert office.state.mailboxes["ann"].pending == 0


def test_a_second_file_with_the_same_number_is_not_taken(office: Office) -> None:
    """It can only be a foreign file."""
    office.accept("boss", "ann", "m1")
    office.file()
    office.make_checkpoint()
    office.crash()
    message = office.files["ann", office.ids["m1"]]
    twin = Message(
        id="twin_0000000", sender="boss", receiver="ann", text="x", status="pending", seq=message.seq, created_at=0
    )
    office.files["ann", twin.id] = twin
    assert keys(office.inbox("ann")) == ["m1"]


def test_crowded_memory_lets_go_early(office: Office) -> None:
    """Above `loaded_messages_max` a second of idleness is enough."""
    office.state.limits = FREE._replace(loaded_messages_max=1)
    for number in range(3):
        office.accept("boss", "ann", f"m{number}")
    office.now_ms += 1_500
    office.tick()
    assert office.state.mailboxes["ann"].held == 3, "not filed: memory is the truth"
    office.file()
    office.tick()
    assert office.state.mailboxes["ann"].held == 0
    assert len(office.inbox("ann")) == 3


def test_replay_of_changes_to_a_file_that_is_gone(office: Office) -> None:
    """A crash after the files and before the checkpoint: the deleted file is missing, its records are not."""
    office.accept("boss", "ann", "m1")
    office.accept("boss", "ann", "m2", ttl_ms=10)
    office.file()
    office.make_checkpoint()
    office.confirm("ann", "offered", "m1")
    office.confirm("ann", "delivered", "m1")
    office.now_ms += 20
    office.expire_due()
    office.delete("ann", "m1", "m2")
    office.file(tell=False)
    for _ in range(2):
        office.crash()
        mailbox = office.state.mailboxes["ann"]
        assert (mailbox.pending, mailbox.unoffered) == (0, 0)
        # The heads of the next checkpoint count them too.
        office.file()
        office.make_checkpoint()
        assert office.checkpoint.lsn == len(office.journal)
    assert (office.checkpoint.mailboxes["ann"].pending, office.checkpoint.mailboxes["ann"].unoffered) == (0, 0)
    assert office.inbox("ann", status=["pending", "delivered", "expired"]) == []


def test_refused_requests_read_nothing(office: Office) -> None:
    """A caller that is unknown or names nothing causes no disk access."""
    for request in (
        Inbox(),
        Inbox(session="ghost"),
        Confirm(ids=["a"], kind="read", session="ghost"),
        GetMessage(id="x", who=Identity("ghost")),
    ):
        refused(office, request)
        assert office.reads == []
    refused(office, GetMessage(id="x", who=Identity("ann")))
    assert office.reads == [Read("sent", "ann", f"x_{mark_of('ann')}")], "its mailbox is in memory"
    refused(office, GetMessage(id="x"))
    refused(office, GetMessage(id=f"x_{mark_of('ghost')}"))
    assert office.reads == [], "the id is no known sender's"
    refused(office, GetMessage(id=f"x_{mark_of('ann')}"))
    assert office.reads == [Read("sent", "ann", f"x_{mark_of('ann')}")]
    assert office.state.replay_reads(Refused(0, "CONFLICT")) == []


def test_deadlines() -> None:
    """An earlier time replaces a later one; each is reported once."""
    deadlines = Deadlines()
    deadlines.set("a", 50)
    deadlines.set("a", 20)
    deadlines.set("a", 90)
    deadlines.set("b", 30)
    assert deadlines.next_ms() == 20
    assert deadlines.due(10, 5) == []
    assert deadlines.due(40, 1) == ["a"]
    assert deadlines.due(40, 5) == ["b"]
    assert deadlines.due(100, 5) == []
    assert deadlines.next_ms() is None


def test_types() -> None:
    """The union of records is what the journal can hold."""
    every = {Accepted, Confirmed, Deleted, Expired, Refused, SessionChanged, SessionForgotten}
    every |= {records.Failed, records.GroupChanged, records.GroupDeleted, records.Skipped}
    assert every == set(records.Record.__args__)
    assert issubclass(Send, Request)
    assert Checkpoint() == Checkpoint()
