"""Retention: mail, its tombstones, sessions and timeline files are removed after their time, and nothing else is."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from maestro_broker.views import dead_letters
from maestro_runtime import paths
from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import mark_of
from support.cli_shell import Shell
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from maestro_schemas.documents import PruneDoc
    from support.post_office import PostOffice

DAY_MS = 86_400_000


def _pruned(operator: Client, *, dry_run: bool = False, older_than_ms: int | None = None) -> PruneDoc:
    """Run a whole round of the sweep; its report."""
    reports = [operator.prune(dry_run=dry_run, older_than_ms=older_than_ms)]

    def is_done() -> bool:
        reports.append(operator.prune(number=reports[0]["round"]))
        return reports[-1]["done"]

    eventually(is_done, "the round is over", 20.0)
    return reports[-1]


def _mail(office: PostOffice, session: str) -> list[str]:
    return sorted(name for name in os.listdir(paths.receiver_dir(office.data, session)) if name.endswith(".json"))


def _filed(operator: Client) -> None:
    eventually(lambda: operator.stats()["filingBacklog"] == 0, "everything is filed", 20.0)


def _age(office: PostOffice, session: str, message_id: str, days: int) -> None:
    """Make a filed message, its link and all its times `days` days older, as if it had lain there."""
    path = os.path.join(paths.receiver_dir(office.data, session), f"{message_id}.json")
    with open(path, encoding="utf-8") as file:
        message = json.load(file)
    for name in ("createdAt", "offeredAt", "deliveredAt", "readAt"):
        if name in message:
            message[name] -= days * DAY_MS
    with open(path, "w", encoding="utf-8") as file:
        json.dump(message, file)
    link = os.path.join(paths.sender_dir(office.data, message["from"]), f"{message_id}.json")
    then_s = time.time() - days * 86_400
    os.utime(path, (then_s, then_s))
    os.utime(link, (then_s, then_s), follow_symlinks=False)


def test_the_sender_is_notified_of_an_expiry(open_office: PostOffice) -> None:
    ann, bob = open_office.client("ann"), open_office.client("bob")
    sent = [ann.send("bob", "now or never", ttl_ms=200) for _ in range(3)]
    eventually(lambda: ann.inbox()["count"] > 0, "ann is notified", 20.0)
    eventually(lambda: open_office.status_of(sent[2]["id"]) == "expired", "all have expired")
    notices = ann.inbox()["messages"]
    assert {message["from"] for message in notices} == {"maestro"}
    text = "\n".join(message["message"] for message in notices)
    # Each has one line of its own. The line with the command to send one again names one of them, too.
    lines = [line for line in text.splitlines() if "message retry" not in line]
    assert [sum(one["id"] in line for line in lines) for one in sent] == [1, 1, 1]
    assert bob.inbox()["count"] == 0
    # A notice that outlives the retention causes no other notice, because its sender, the broker, is no session.
    assert open_office.client().stats()["messages"]["expired"] == 3


def test_expired_mail_is_not_shown_before_it_is_marked(open_office: PostOffice) -> None:
    ann, bob = open_office.client("ann"), open_office.client("bob")
    sent = ann.send("bob", "now or never", ttl_ms=1)
    # It may not matter whether the broker has marked it yet.
    eventually(lambda: bob.message(sent["id"])["status"] == "expired", "its time is over")
    assert bob.inbox()["count"] == 0
    assert bob.thread(sent["id"])["messages"][0]["status"] == "expired"


def test_a_round_removes_old_mail_and_nothing_else(post_office: PostOffice) -> None:
    post_office.start()
    post_office.sessions("ann", "bob")
    ann, bob, operator = post_office.client("ann"), post_office.client("bob"), post_office.client()
    ids = [ann.send("bob", "hello", message_id=f"m{number}")["id"] for number in range(5)]
    bob.confirm(ids[:4], kind="read")
    bob.delete([ids[3]])
    _filed(operator)
    post_office.stop()  # otherwise memory would hold the pending message with its old times
    for message_id in (ids[0], ids[4]):
        _age(post_office, "bob", message_id, 8)
    # The file's time is old, but the times in it are not: a clock was wrong, so the file stays. For the link the
    # opposite holds.
    path = os.path.join(paths.receiver_dir(post_office.data, "bob"), f"{own_id('ann', 'm1')}.json")
    os.utime(path, (1_000_000, 1_000_000))
    link = os.path.join(paths.sender_dir(post_office.data, "ann"), f"{ids[3]}.json")
    os.utime(link, (1_000_000, 1_000_000), follow_symlinks=False)
    timeline = os.path.join(post_office.data, "timeline")
    for day in ("2020-01-01", "2099-01-01"):
        with open(os.path.join(timeline, f"{day}.jsonl"), "w", encoding="utf-8") as file:
            file.write('{"lsn":1,"at":1,"event":"message.refused"}\n' if day == "2020-01-01" else "")

    post_office.start()
    dry = _pruned(operator, dry_run=True)
    assert dry["swept"] == {
        "messages": 1, "expired": 1, "tombstones": 2, "timelineFiles": 1, "bytes": dry["swept"]["bytes"]
    }  # fmt: skip
    assert _mail(post_office, "bob") == [own_id("ann", key) + ".json" for key in ("m0", "m1", "m2", "m4")]
    swept = _pruned(operator)["swept"]
    assert swept == dry["swept"]
    assert _mail(post_office, "bob") == [own_id("ann", key) + ".json" for key in ("m1", "m2", "m4")]
    assert os.path.lexists(os.path.join(paths.sender_dir(post_office.data, "ann"), f"{own_id('ann', 'm1')}.json"))
    assert not os.path.lexists(link)
    assert "2020-01-01.jsonl" not in os.listdir(timeline)
    # The pending message has expired and its sender was notified. It stays for a while, to be sent again.
    assert bob.message(own_id("ann", "m4"))["status"] == "expired"
    assert f"{own_id('ann', 'm4')} to bob" in ann.inbox()["messages"][0]["message"]
    assert bob.message(own_id("ann", "m1"))["status"] == "read"
    assert _pruned(operator)["swept"] == {}
    # The sequence continues, and the id can be used again.
    assert ann.send("bob", "again", message_id="m0")["seq"] == 6
    assert _pruned(operator, older_than_ms=0)["swept"]["messages"] >= 2


def test_a_project_of_the_config_file_keeps_its_mail_for_its_own_time(post_office: PostOffice) -> None:
    os.makedirs(post_office.root, exist_ok=True)
    with open(post_office.environ["MAESTRO_CONFIG"], "w", encoding="utf-8") as file:
        file.write('[projects.shop]\nretention = "30d"\n[projects.brief]\nretention = "2d"\n')
    post_office.start()
    for session, project in (("ann", "other"), ("bob", "other"), ("cy", "shop"), ("di", "brief")):
        post_office.session(session, project=project, role="orchestrator")
    ann = post_office.client("ann")
    for receiver, days in (("bob", 6), ("bob", 8), ("cy", 8), ("cy", 31), ("di", 1), ("di", 3)):
        message_id = ann.send(receiver, "hello", message_id=f"{receiver}_{days}")["id"]
        post_office.client(receiver).confirm([message_id], kind="read")
        _filed(post_office.client())
        _age(post_office, receiver, message_id, days)
    _pruned(post_office.client())
    kept = [name for receiver in ("bob", "cy", "di") for name in _mail(post_office, receiver)]
    mark = mark_of("ann")
    assert kept == [f"bob_6_{mark}.json", f"cy_8_{mark}.json", f"di_1_{mark}.json"]


def test_read_mail_may_have_a_retention_of_its_own(post_office: PostOffice) -> None:
    """For the post office and for a project; `status` and `config show` show both, and unread mail keeps its own."""
    os.makedirs(post_office.root, exist_ok=True)
    with open(post_office.environ["MAESTRO_CONFIG"], "w", encoding="utf-8") as file:
        file.write('[limits]\nretention = "read+24h"\n[projects.shop]\nretention = "read+3d"\n')
    post_office.start()
    post_office.session("ann", role="orchestrator")
    post_office.session("bob")
    post_office.session("cy", project="shop")
    ann, operator = post_office.client("ann"), post_office.client()
    made: dict[str, str] = {}
    for receiver, kind, days in (
        ("bob", "delivered", 2), ("bob", "read", 2), ("bob", "delivered", 8), ("cy", "read", 2), ("cy", "read", 4),
    ):  # fmt: skip
        message_id = ann.send(receiver, "hello")["id"]
        post_office.client(receiver).confirm([message_id], kind=kind)
        _filed(operator)
        _age(post_office, receiver, message_id, days)
        made[f"{message_id}.json"] = f"{receiver} {kind} {days}"
    _pruned(operator)
    kept = {made[name] for receiver in ("bob", "cy") for name in _mail(post_office, receiver)}
    assert kept == {"bob delivered 2", "cy read 2"}
    stats = operator.stats()
    assert stats["limits"]["read_retention_ms"]["value"] == DAY_MS
    assert stats["limits"]["retention_ms"]["value"] == 7 * DAY_MS
    assert stats["config"]["projects"]["shop"]["read_retention_ms"]["value"] == 3 * DAY_MS
    shell = Shell(post_office.root, post_office.environ, [])
    assert "read_retention_ms" in shell.done("status", "--all").out
    assert "Mail is kept for 7d, 1d after it was read; of shop for 7d, 3d after it was read." in (
        shell.done("spool", "prune").out
    )


def test_mail_that_expired_is_gone_after_its_retention_and_not_after_two(post_office: PostOffice) -> None:
    """Mail with a life of its own, and mail whose life was the retention. The sender can send it again meanwhile."""
    post_office.start(retention="16s")
    post_office.sessions("ann", "bob")
    ann, operator = post_office.client("ann"), post_office.client()
    begun_s = time.monotonic()
    own = ann.send("bob", "a life of its own", ttl_ms=8_000)["id"]
    whole = ann.send("bob", "the whole retention")["id"]

    def dead() -> set[str]:
        return {letter["id"] for letter in ann.dead()["messages"]}

    eventually(lambda: own in dead(), "the first has expired", 40.0)
    eventually(lambda: whole in dead(), "the second has expired", 40.0)
    eventually(lambda: not _mail(post_office, "bob"), "both are gone", 40.0)
    assert time.monotonic() - begun_s < 30, "before the end of a second retention"
    assert dead() == set()
    assert operator.stats()["messages"]["expired"] == 2


def test_old_dead_letters_and_refused_entries_are_removed(post_office: PostOffice) -> None:
    """The index of dead letters keeps its newest day. A refused entry of the outbox is removed once both its file's
    time and its own are over."""
    days = os.path.join(post_office.data, dead_letters.FOLDER)
    outbox = os.path.join(paths.outbox_dir(post_office.data), "ann")
    os.makedirs(days)
    os.makedirs(outbox)
    now_ms = time.time_ns() // 1_000_000
    for lsn, day in enumerate(("2020-01-01", "2020-01-02", "2099-01-01"), 1):
        with open(os.path.join(days, f"{day}.jsonl"), "w", encoding="utf-8") as file:
            file.write(f'{{"lsn":{lsn},"at":{lsn},"event":"message.expired","id":"m","from":"ann","to":"bob"}}\n')
    for name, queued_days, file_days in (("old", 8, 8), ("queued_long", 8, 1), ("touched", 1, 8), ("new", 1, 1)):
        outgoing = {"id": name, "to": "absent", "message": "hello"}
        entry = outbox_entry.OutboxEntry(now_ms - queued_days * DAY_MS, "ann", None, outgoing, {"code": "INVALID"})
        path = os.path.join(outbox, name + outbox_entry.FAILED_SUFFIX)
        with open(path, "wb") as file_:
            file_.write(outbox_entry.encode(entry))
        os.utime(path, (now_ms / 1000 - file_days * 86_400,) * 2)
    with open(os.path.join(outbox, "strange.failed"), "wb") as file_:
        file_.write(b"not an entry")
    os.utime(file_.name, (0, 0))
    post_office.start()
    operator = post_office.client()
    dry = _pruned(operator, dry_run=True)
    assert (dry["swept"]["messages"], dry["swept"]["timelineFiles"]) == (1, 2)
    assert len(os.listdir(outbox)) == 5
    assert _pruned(operator)["swept"] == dry["swept"]
    assert sorted(os.listdir(outbox)) == ["new.failed", "queued_long.failed", "strange.failed", "touched.failed"]
    assert os.listdir(days) == ["2099-01-01.jsonl"]


def test_a_removed_message_leaves_memory_too(open_office: PostOffice) -> None:
    ann, bob, operator = open_office.client("ann"), open_office.client("bob"), open_office.client()
    ann.send("bob", "hello", message_id="m1")
    ann.send("bob", "hello", message_id="m2")
    bob.confirm([own_id("ann", "m1")], kind="read")
    _filed(operator)
    assert bob.inbox(status=["pending", "read"], since=0)["count"] == 2
    _age(open_office, "bob", own_id("ann", "m1"), 8)
    _pruned(operator)
    eventually(lambda: bob.inbox(status=["pending", "read"], since=0)["count"] == 1, "it is forgotten")
    with pytest.raises(MaestroError, match="no message"):
        bob.message(own_id("ann", "m1"))
    assert bob.inbox()["count"] == 1


def test_a_session_that_ended_long_ago_is_forgotten(post_office: PostOffice) -> None:
    """With a retention of two seconds everything is removed automatically. A broker that is killed meanwhile does so
    too."""
    post_office.start(retention="2s")
    post_office.sessions("ann", "bob", "idle")
    ann, operator = post_office.client("ann"), post_office.client()
    for number in range(5):
        ann.send("bob", f"hello {number}")
    post_office.client("bob").confirm([m["id"] for m in operator.inbox(session="bob")["messages"]], kind="read")
    # A broker that was killed may leave such a file.
    os.makedirs(paths.receiver_dir(post_office.data, "bob"), mode=0o700, exist_ok=True)
    with open(os.path.join(paths.receiver_dir(post_office.data, "bob"), ".wake"), "w", encoding="utf-8"):
        pass
    operator.end_session("ann")
    operator.end_session("bob")

    def known() -> set[str]:
        with post_office.client() as now:
            return {session["id"] for session in now.sessions()}

    eventually(lambda: "bob" not in known(), "bob is forgotten", 30.0)
    post_office.kill()
    post_office.start(retention="2s")
    eventually(lambda: known() == {"idle"}, "both are forgotten", 30.0)
    operator = post_office.client()
    _filed(operator)
    eventually(
        lambda: os.listdir(os.path.join(post_office.data, "sessions")) == ["idle.json"], "their files are removed"
    )
    # Files that the journal's tail has filed again are removed again.
    folders = [paths.sender_dir(post_office.data, "ann"), paths.receiver_dir(post_office.data, "bob")]
    eventually(lambda: not any(map(os.path.exists, folders)), "their folders are removed", 30.0)
    names = [event["event"] for event in operator.events(0)["events"]]
    assert names.count("session.forgotten") == 2
    post_office.session("bob")
    assert post_office.client("bob").inbox()["headSeq"] == 0
    post_office.stop()
    post_office.start()
    assert known() == {"idle", "bob"}
    assert post_office.client().stats()["warnings"] == []


def test_a_message_that_several_rounds_find_expires_once(post_office: PostOffice) -> None:
    """With a retention of one second, four rounds end before the main loop takes their results."""
    post_office.start(retention="1s")
    post_office.sessions("ann", "bob")
    for number in range(20):
        post_office.client("ann").send("bob", f"hello {number}")
    operator = post_office.client()
    eventually(lambda: operator.stats()["messages"]["expired"] >= 20, "all have expired", 20.0)
    operator.end_session("ann")  # ann gets mail about the expiry, which would expire as well
    stats = operator.stats()
    assert (stats["messages"]["expired"], stats["mailboxes"]["fullest"].get("bob", 0)) == (20, 0)
    expired = [event["id"] for event in operator.events(0, session="bob", events=["expired"])["events"]]
    assert len(set(expired)) == len(expired) == 20


def test_only_the_operator_may_prune(open_office: PostOffice) -> None:
    with pytest.raises(MaestroError, match="may not do this") as refusal:
        open_office.client("ann").prune()
    assert refusal.value.code == "FORBIDDEN"
    with pytest.raises(MaestroError, match="is over") as refusal:
        open_office.client().prune(number=99)
    assert refusal.value.code == "INVALID"
    with pytest.raises(MaestroError, match="0 or more"):
        open_office.client().prune(older_than_ms=-1)


def test_the_command(open_office: PostOffice) -> None:
    shell = Shell(open_office.root, open_office.environ, [])
    ann, bob = open_office.client("ann"), open_office.client("bob")
    ann.send("bob", "hello", message_id="m1")
    bob.confirm([own_id("ann", "m1")], kind="read")
    _filed(open_office.client())
    assert "Nothing would go" in shell.run("spool", "prune", "--dry-run").out
    _age(open_office, "bob", own_id("ann", "m1"), 8)
    shown = json.loads(shell.run("spool", "prune", "--dry-run", "--json").out)
    assert (shown["dryRun"], shown["swept"]["messages"]) == (True, 1)
    out = shell.run("spool", "prune").out
    assert out.startswith("Gone: ")
    assert "1  messages" in out
    assert _mail(open_office, "bob") == []
    wrong = shell.run("spool", "prune", "--older-than", "3")
    assert wrong.code == 2
    assert "--older-than" in wrong.err
    assert "sweep" in shell.run("status", "--all").out
