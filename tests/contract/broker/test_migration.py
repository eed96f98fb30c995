"""A directory of format 1 with ids of every form, and strangers who chose the ids of others: what a broker serves."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_schemas.names import canonical_id, mark_of
from support.format_1 import Format1
from support.recorded_data import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

# What a session may have called its messages: as the clients do, as people do, long, and as if it had a mark.
KEYS = ("msg_5", "msg_1700000000000_abcdefghi", "msg_7_x", "msg_8_x_y", "plan-7", "k" * 56, "k" * 57, "k" * 64, "m_")
SETTINGS: dict[str, str | int] = {"retention": "36500d"}


@pytest.fixture
def old(post_office: PostOffice) -> Format1:
    made = Format1(post_office.data)
    made.session("ann", "ben", "eve")
    return made


@pytest.fixture
def wire(post_office: PostOffice, old: Format1) -> Iterator[Wire]:
    """A broker on what `fill` wrote; each test requests it after that."""
    for number, key in enumerate((*KEYS, f"own_{mark_of('ann')}"), 1):
        old.mail(key, "ann", "ben", seq=number)
    old.mail("plan-7", "eve", "eve", seq=1)
    # With a mark, this id has a time; without one it had none, so the checkpoint knows of no time of ben's.
    old.mail("msg_5", "ben", "ann", seq=2)
    answer = {"inReplyTo": "plan-7", "threadId": "plan-7"}
    old.mail("answer", "ben", "ann", seq=1, createdAt=1_001, metadata=answer)
    thanks = {"inReplyTo": "answer", "threadId": "plan-7"}
    old.mail("thanks", "ann", "ben", seq=11, createdAt=1_002, metadata=thanks)
    counts = {"ann": 2, "ben": 11, "eve": 1}
    heads = {
        name: {"seq": seq, "pending": seq, "unoffered": seq, "sent_ms": 0, "got_ms": 0}
        for name, seq in counts.items()
    }
    heads["ann"]["sent_ms"] = 1_700_000_000_000
    old.heads(old.lsn, heads)
    old.segment(old.lsn + 1, [])
    found = Wire(post_office.start(**SETTINGS).router)
    yield found
    found.close()


def sent(wire: Wire, sender: str, to: str, key: str, **more: Any) -> dict[str, Any]:
    body = {"id": key, "to": to, "message": f"The text of {key}.", **more}
    [result] = wire.call("send", {"messages": [body]}, session=sender)["results"]
    found: dict[str, Any] = result
    return found


def test_a_repeat_under_any_old_id_is_the_same_message(wire: Wire) -> None:
    before = wire.call("stats", {})["stats"]["headLsn"]
    for number, key in enumerate((*KEYS, f"own_{mark_of('ann')}"), 1):
        result = sent(wire, "ann", "ben", key)
        assert (result["status"], result["seq"]) == (200, number), key
        assert result["id"] == canonical_id(key, mark_of("ann"))
    assert sent(wire, "ben", "ann", "msg_5")["status"] == 200
    assert sent(wire, "ben", "ann", "answer", metadata={"inReplyTo": "plan-7"})["status"] == 200
    assert wire.call("stats", {})["stats"]["headLsn"] == before


def test_another_message_under_an_old_id_is_refused(wire: Wire) -> None:
    assert sent(wire, "ann", "ben", "msg_5", metadata={"taskId": "t"})["error"]["code"] == "CONFLICT"


def test_the_thread_is_whole_and_a_strangers_message_is_not_in_it(wire: Wire) -> None:
    """The stranger chose the id of its first message before ids had marks."""
    ann, ben = mark_of("ann"), mark_of("ben")
    for session in ("ann", "ben"):
        found = wire.call("thread", {"id": f"plan-7_{ann}"}, session=session)
        assert [each["id"] for each in found["messages"]] == [f"plan-7_{ann}", f"answer_{ben}", f"thanks_{ann}"]
    mine = wire.call("thread", {"id": "plan-7"}, session="eve")
    assert [each["id"] for each in mine["messages"]] == [f"plan-7_{mark_of('eve')}"]
    assert wire.call("thread", {"id": f"plan-7_{ann}"}, session="eve")["code"] == "MESSAGE_NOT_FOUND"


def test_an_answer_after_it_goes_on_in_the_old_thread(wire: Wire) -> None:
    result = sent(wire, "ben", "ann", "new", metadata={"inReplyTo": f"thanks_{mark_of('ann')}"})
    assert (result["status"], result["threadId"]) == (201, f"plan-7_{mark_of('ann')}")


def test_verify_is_clean_and_nothing_is_warned_of(wire: Wire, post_office: PostOffice) -> None:
    assert wire.call("stats", {})["stats"]["warnings"] == []
    post_office.stop()
    command = [sys.executable, "-m", "maestro_cli", "spool", "verify"]
    done = subprocess.run(command, env=post_office.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert not os.path.exists(os.path.join(post_office.data, "messages", "format-2"))
