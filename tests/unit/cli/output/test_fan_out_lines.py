"""What a send to several says: each receiver by what it is, and many of them in few lines."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_cli.output import fan_out_lines
from maestro_clients.protocol.documented_words import mail_message
from maestro_clients.texts.fence import addresses
from maestro_schemas.messages import Audience, Message, Metadata
from maestro_schemas.vocabularies import MessageType

NOW_MS = 100_000_000
MINUTE_MS = 60_000


def taker(name: str, reach: str, state: str | None = None, minutes: float = 4, **more: str) -> dict[str, Any]:
    found: dict[str, Any] = {"to": f"sess_{name}", "name": name, "status": 201, "state": "pending", "reach": reach}
    if state is not None:
        found["presence"] = {"state": state, "since": int(NOW_MS - minutes * MINUTE_MS), **more}
    return found


def refusal(name: str, code: str, **more: int) -> dict[str, Any]:
    return {"to": name, "status": 409, "error": {"code": code, "message": "", **more}}


def outcome(*recipients: dict[str, Any], **more: Any) -> dict[str, Any]:
    refused = sum("error" in each for each in recipients)
    size = len(recipients)
    return {
        "id": "msg_1",
        "audience": {"to": ["@workers"], "size": size},
        "accepted": size - refused,
        "refused": refused,
        "recipients": recipients,
        **more,
    }


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "108")


def test_the_groups_of_a_send() -> None:
    said = fan_out_lines.sent(
        outcome(
            taker("ann", "watching", "idle"),
            taker("ben", "tool", "working", 0.1),
            taker("cid", "prompt", "idle", 3),
            taker("dee", "tool", "waiting", 4, detail="permission:Bash"),
            taker("eva", "gone", "gone", 120),
            taker("fay", "inbox"),
            refusal("gus", "MAILBOX_FULL", limit=10_000),
            refusal("hal", "RECEIVER_ENDED"),
            refusal("ivo", "SOMETHING_NEW"),
        ),
        NOW_MS,
    )
    assert said.splitlines() == [
        "Sent to 6 of 9, @workers (msg_1). On disk.",
        "  now    ann (watching)  ben (at work: after its next tool call)",
        "  later  cid (idle for 3m: at its next prompt)  dee (waits for a person for 4m (permission: Bash))  eva",
        "         (gone, no sign of life for 2h)  fay (when it looks into its inbox)",
        "  no     gus: its mailbox is full (10,000)  hal: it has ended  ivo: SOMETHING_NEW",
        "         → maestro message retry msg_1",
    ]


def test_other_states_of_a_receiver() -> None:
    lines = fan_out_lines.groups(
        [
            taker("ann", "prompt", "working", 22),
            taker("ben", "prompt", "unknown"),
            taker("cid", "ended"),
            taker("dee", "of a newer broker"),
        ],
        NOW_MS,
    )
    assert " ".join(" ".join(lines).split()) == (
        "later ann (silent for 22m: at its next prompt or tool call) ben (at its next prompt or tool call) "
        "cid (ended: when it comes back) dee"
    )


def test_those_that_are_alike_share_their_words() -> None:
    some = [taker(name, "inbox") for name in ("ann", "ben")]
    assert fan_out_lines.groups(some, NOW_MS) == ["  later  ann, ben (when it looks into its inbox)"]
    many = [taker(f"w{number}", "prompt", "idle", number) for number in range(1, 10)]
    many += [taker("zoe", "inbox")]
    assert fan_out_lines.groups(many, NOW_MS) == [
        "  later  9: w1, w2, w3, w4 and 5 more (idle: at its next prompt)  zoe (when it looks into its inbox)"
    ]


def test_a_narrow_terminal_breaks_lines_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    lines = fan_out_lines.groups([taker(f"worker-{n}", "prompt", "idle", n) for n in range(1, 6)], NOW_MS)
    assert max(map(len, lines)) <= 44
    assert lines[0].startswith("  later  worker-1 (idle for 1m: at its")
    assert all(line.startswith("         ") for line in lines[1:])
    monkeypatch.setenv("COLUMNS", "3")
    assert fan_out_lines.groups([taker("ann", "inbox")], NOW_MS)[0].startswith("  later  ann")


def test_all_accepted_and_a_repeat() -> None:
    assert fan_out_lines.sent(outcome(taker("ann", "inbox")), NOW_MS).startswith(
        "Sent to 1 session, @workers (msg_1)."
    )
    less = outcome(taker("ann", "inbox"), taker("ben", "inbox"), charsRemoved=2)
    assert "On disk. Without 2 hidden characters, taken out of it." in fan_out_lines.sent(less, NOW_MS)
    one = outcome(taker("ann", "inbox"), charsRemoved=1)
    assert "Without 1 hidden character, taken" in fan_out_lines.sent(one, NOW_MS)
    repeat = outcome(
        {"to": "ann", "status": 200, "state": "read"},
        {"to": "ben", "status": 200, "state": "read"},
        {"to": "cid", "status": 200, "state": "pending"},
        refusal("dee", "MAILBOX_FULL"),
        duplicate=True,
    )
    assert fan_out_lines.sent(repeat, NOW_MS) == (
        "Sent before, to 3 of 4, @workers (msg_1); now 2 read, 1 pending, 1 refused."
    )
    again = outcome(taker("ann", "inbox"), retryOf="msg_0")
    assert fan_out_lines.sent(again, NOW_MS).startswith("Sent again to 1 session")
    assert fan_out_lines.sent({**repeat, "retryOf": "msg_0"}, NOW_MS).startswith(
        "msg_0 was retried before, to 3 of 4"
    )
    # All copies are deleted, so the audience is not known any more.
    gone = {"id": "msg_1", "accepted": 2, "refused": 0, "duplicate": True}
    assert fan_out_lines.sent(gone, NOW_MS) == "Sent before, to 2 sessions (msg_1); now on disk."


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("@workers", "@workers"),
        (["@project:shop", "bob"], "@project:shop, bob"),
        (["a b", "@x y"], '"a b", @"x y"'),
        ([f"w{number}" for number in range(6)], "w0, w1, w2, w3 and 2 more"),
    ],
)
def test_addresses(to: str | list[str], words: str) -> None:
    assert addresses(to) == words


@pytest.mark.parametrize("to", [("@workers",), ("ann",), ("ann", "ben")])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("kind", [None, "notification", "request", "command", "response"])
@pytest.mark.parametrize("asks", [{}, {"requires_ack": True}, {"requires_response": True}, {"priority": "high"}])
def test_the_note_is_about_the_messages_that_are_quiet(
    to: tuple[str, ...], size: int, kind: MessageType | None, asks: dict[str, Any]
) -> None:
    metadata = Metadata(type=kind, **asks)
    message = Message(
        id="m", sender="a", receiver="b", text="x", status="pending", seq=1, created_at=1,
        audience=Audience(to, size), metadata=metadata,
    )  # fmt: skip
    names = {"requires_ack": "requiresAck", "requires_response": "requiresResponse", "priority": "priority"}
    meta = {names[name]: value for name, value in asks.items()} | ({"type": kind} if kind is not None else {})
    said = fan_out_lines.quiet_note({"audience": {"to": list(to), "size": size}}, meta)
    assert bool(said) == message.is_quiet
    assert fan_out_lines.quiet_note({"audience": {"to": list(to), "size": size}, "duplicate": True}, meta) == ""
    assert fan_out_lines.quiet_note({}, None) == ""


def test_the_note_names_options_that_the_command_has() -> None:
    """`mail broadcast` has other types of mail, and no --require-ack."""
    outcome = {"audience": {"to": ["@project"], "size": 3}}
    _text, mail = mail_message("notification", "Main is red", {})
    note = fan_out_lines.quiet_note(outcome, mail)
    assert note.endswith("--type directive or --priority high would.")
    assert fan_out_lines.quiet_note(outcome, mail_message("directive", "Stop", {})[1]) == ""
    assert fan_out_lines.quiet_note(outcome, {"data": "mail"}).endswith("--require-ack or --priority high would.")


def test_a_preview_shows_states() -> None:
    receivers: list[dict[str, Any]] = [
        {"session": "sess_1", "name": "ann", "presence": {"state": "idle", "since": NOW_MS - MINUTE_MS}},
        {"session": "sess_2", "name": None},
    ]
    assert fan_out_lines.preview(receivers, NOW_MS) == ["  ann (idle 1m)  sess_2"]
