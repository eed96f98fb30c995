"""`maestro spool verify` finds each way in which files can be wrong; `spool export` writes out all of them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.views.export import SpoolExporter
from maestro_broker.views.verify import SpoolVerifier
from maestro_clients.processes import broker_process
from maestro_runtime import paths
from maestro_schemas import outbox_entry
from support.cli_shell import open_shell
from support.post_office import eventually, own_id, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

M0, M3 = (f"{own_id('ann', key)}.json" for key in ("m0", "m3"))


@pytest.fixture(scope="module")
def whole() -> Iterator[str]:
    """A data directory after a day's work, its broker stopped in order."""
    office = scratch()
    try:
        office.start()
        with office.client() as operator:
            operator.start_session("ann", role="orchestrator", token="t" * 32)
            operator.start_session("bob")
            operator.start_session("gone")
        with office.client("ann", "t" * 32) as ann, office.client("bob") as bob:
            ann.set_group("reviews", create=True, add=["bob"])
            for number in range(6):
                ann.send("bob", f"text {number}", message_id=f"m{number}")
            ann.send("gone", "never read", message_id="late", ttl_ms=50)
            bob.confirm([own_id("ann", "m0")], "delivered")
            bob.confirm([own_id("ann", "m1")], "read")
            bob.delete([own_id("ann", "m2")])
            bob.send("ann", "an answer", message_id="a1", metadata={"inReplyTo": own_id("ann", "m0")})
            eventually(lambda: office.status_of(own_id("ann", "late")) == "expired", "it expires")
        with office.client() as operator:
            operator.end_session("gone")
        office.stop()
        queued = outbox_entry.OutboxEntry(
            1_795_000_000_000, "bob", None, {"id": "q1", "to": "ann", "message": "later"}
        )
        folder = os.path.join(paths.outbox_dir(office.data), "bob")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, outbox_entry.file_name(queued))
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(outbox_entry.encode(queued))
        yield office.data
    finally:
        office.close()


@pytest.fixture
def data(whole: str, tmp_path: Path) -> str:
    """A copy of that directory, which a test may damage."""
    copy = str(tmp_path / "data")
    shutil.copytree(whole, copy, symlinks=True, ignore=shutil.ignore_patterns("endpoints"))
    return copy


def verified(data: str, *, is_served: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result of each check by its name, and the findings."""
    lines: list[dict[str, Any]] = []
    verify = SpoolVerifier(data, lines.append, is_served=is_served)
    verify.run()
    checks = {one["checked"]: one for one in lines if "checked" in one}
    findings = [one for one in lines if "finding" in one]
    assert lines[-1]["wrong"] == verify.findings == sum(one["wrong"] for one in checks.values())
    return checks, findings


def mail(data: str, *parts: str) -> str:
    return os.path.join(data, "messages", *parts)


def edit(path: str, change: Callable[[dict[str, Any]], None]) -> None:
    with open(path, encoding="utf-8") as file:
        body = json.load(file)
    change(body)
    os.chmod(path, 0o600)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(body, file)


def flip(path: str, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x55]))


def put(path: str, content: str = "", mode: int = 0o600) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(content)


def swap_lines(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        first, second, *rest = file.readlines()
    put(path, "".join([second, first, *rest]))


def day(data: str, folder: str) -> str:
    return os.path.join(data, folder, min(os.listdir(os.path.join(data, folder))))


def segment(data: str) -> str:
    name = next(name for name in sorted(os.listdir(mail(data, "journal"))) if name[0].isdigit())
    return mail(data, "journal", name)


def copied(source: str, target: str) -> None:
    shutil.copy(source, target)


BROKEN: dict[str, tuple[str, Callable[[str], None]]] = {
    "no format": ("format", lambda data: os.unlink(os.path.join(data, "format"))),
    "another format": ("format", lambda data: put(os.path.join(data, "format"), "maestro-data 999\n")),
    "others may read tokens' hashes": (
        "permissions",
        lambda data: os.chmod(os.path.join(data, "sessions", "ann.json"), 0o644),
    ),
    "others may enter": ("permissions", lambda data: os.chmod(data, 0o755)),
    "a session's file is torn": ("sessions", lambda data: put(os.path.join(data, "sessions", "bob.json"), "{")),
    "a session under another's name": (
        "sessions",
        lambda data: copied(os.path.join(data, "sessions", "bob.json"), os.path.join(data, "sessions", "eve.json")),
    ),
    "the counters' checksum": ("heads", lambda data: flip(os.path.join(data, "heads"), 20)),
    "a segment's header": ("journal", lambda data: flip(segment(data), 2)),
    "a segment under another's name": (
        "journal",
        lambda data: copied(
            segment(data), mail(data, "journal", os.path.basename(segment(data)).replace("1", "7", 1))
        ),
    ),
    "a message's file is torn": (
        "messages",
        lambda data: put(mail(data, "by-receiver", "bob", M3), "{"),
    ),
    "a message under another's name": (
        "messages",
        lambda data: os.rename(
            mail(data, "by-receiver", "bob", M3),
            mail(data, "by-receiver", "bob", "other.json"),
        ),
    ),
    "a message in another's mailbox": (
        "messages",
        lambda data: os.rename(
            mail(data, "by-receiver", "bob", M3),
            mail(data, "by-receiver", "ann", M3),
        ),
    ),
    "two messages of one number": (
        "messages",
        lambda data: edit(mail(data, "by-receiver", "bob", M3), lambda body: body.update(seq=5)),
    ),
    "a message is gone": (
        "counters",
        lambda data: os.unlink(mail(data, "by-receiver", "bob", M3)),
    ),
    "a number that was never given": (
        "counters",
        lambda data: edit(mail(data, "by-receiver", "bob", M3), lambda body: body.update(seq=99)),
    ),
    "no marker": ("markers", lambda data: os.unlink(mail(data, "by-receiver", "bob", ".pending"))),
    "a marker without mail": ("markers", lambda data: put(mail(data, "by-receiver", "gone", ".pending"))),
    "a sender's link is gone": (
        "sender links",
        lambda data: os.unlink(mail(data, "by-sender", "ann", M3)),
    ),
    "a file where a link should be": (
        "links",
        lambda data: put(mail(data, "by-thread", own_id("ann", "m0"), "x.json")),
    ),
    "a link to somewhere else": (
        "links",
        lambda data: os.symlink("../../../sessions/ann.json", mail(data, "by-sender", "ann", "x.json")),
    ),
    "a line of the audit": ("timeline", lambda data: flip(day(data, "timeline"), 0)),
    "lines of the audit out of order": ("timeline", lambda data: swap_lines(day(data, "timeline"))),
    "a line of the dead letters": ("dead letters", lambda data: flip(day(data, "dead-letters"), 0)),
    "an entry of the outbox": ("outbox", lambda data: put(os.path.join(data, "outbox", "bob", "x.json"), "{}")),
    "something in quarantine": ("quarantine", lambda data: put(mail(data, "quarantine", "bob--x.json"), "{")),
}


def test_a_sound_data_directory_has_no_findings(data: str) -> None:
    checks, findings = verified(data)
    assert findings == []
    assert not any(one["skipped"] for one in checks.values())
    looked = {name: one["looked"] for name, one in checks.items()}
    assert looked["messages"] == 8
    assert looked["outbox"] == looked["dead letters"] == 1
    # There is nothing in quarantine, no group, and no attached file.
    assert {name for name, count in looked.items() if not count} <= {"quarantine", "groups", "attached files"}


@pytest.mark.parametrize("what", BROKEN)
def test_each_damage_is_found(data: str, what: str) -> None:
    check, breaks = BROKEN[what]
    breaks(data)
    checks, findings = verified(data)
    assert checks[check]["wrong"] >= 1, findings
    found = next(one for one in findings if one["finding"] == check)
    assert found["path"].startswith(data)
    assert found["why"]
    assert found["todo"]


def test_harmless_findings_are_only_reported(data: str) -> None:
    os.chmod(mail(data, "by-receiver", "bob", M0), 0o600)
    put(mail(data, "by-receiver", "bob", ".m9.json.tmp"))
    put(mail(data, "by-receiver", "bob", ".wake"), "idle\n")  # for mail that was not shown
    put(mail(data, "by-receiver", "gone", ".wake"), "idle\n")
    os.mkdir(mail(data, "by-receiver", "starting"), 0o700)
    put(mail(data, "journal", "notes"))
    os.mkdir(os.path.join(data, "timeline", "old"), 0o700)
    put(os.path.join(data, "index", "search-1.sqlite3"), "no database" * 400)
    checks, findings = verified(data)
    found = sorted(one["finding"] for one in findings)
    assert found == ["index", "journal", "leftovers", "markers", "messages", "timeline"]
    assert not any(one["wrong"] for one in checks.values())


def test_beside_a_broker_the_checks_of_changing_files_are_skipped(data: str) -> None:
    checks, _ = verified(data, is_served=True)
    assert {name for name, one in checks.items() if one["skipped"]} == {
        "journal", "counters", "markers", "sender links", "leftovers", "index",
    }  # fmt: skip


def test_a_killed_broker_s_tail_is_no_fault() -> None:
    office = scratch()
    try:
        office.start()
        office.sessions("ann", "bob")
        with office.client("ann") as ann:
            for number in range(50):
                ann.send("bob", "x", message_id=f"m{number}")
        office.kill()
        checks, findings = verified(office.data)
        assert [one for one in findings if not one["harmless"]] == []
        assert checks["journal"]["looked"] > 50
        lines = exported(office.data)
        known = {line["id"] for line in lines if line["kind"] == "message"}
        known |= {line["message"]["id"] for line in lines if line["kind"] == "unfiled" and "message" in line}
        assert known == {own_id("ann", f"m{number}") for number in range(50)}
    finally:
        office.close()


def exported(data: str, session: str | None = None) -> list[dict[str, Any]]:
    lines: list[str] = []
    SpoolExporter(data, session, lines.append, lambda _: None).run()
    return [json.loads(line) for line in lines]


def test_an_export_has_all_of_it(data: str) -> None:
    put(mail(data, "quarantine", "bob--x.json"), "{")
    put(os.path.join(data, "outbox", "bob", "broken.json"), "{}")
    put(mail(data, "by-receiver", "bob", ".wake"), "idle\n")
    os.mkdir(mail(data, "by-receiver", "starting"), 0o700)
    header, *lines, end = exported(data)
    assert (header["kind"], header["version"]) == ("maestro-export", 1)
    counts: dict[str, int] = {}
    for line in lines:
        counts[line["kind"]] = counts.get(line["kind"], 0) + 1
    assert end == {"kind": "end", "counts": counts}
    assert (counts["session"], counts["message"], counts["tombstone"], counts["outbox"], counts["quarantine"]) == (
        3, 8, 1, 1, 1,
    )  # fmt: skip
    assert "unfiled" not in counts
    with open(os.path.join(data, "sessions", "ann.json"), encoding="utf-8") as file:
        secret = json.load(file)["tokenHash"]
    assert secret not in json.dumps(lines)


def test_an_export_of_one_session(data: str) -> None:
    lines = exported(data, "gone")[1:-1]
    assert {line["kind"] for line in lines} == {"session", "message", "event"}
    assert [line["id"] for line in lines if line["kind"] == "message"] == [own_id("ann", "late")]


def test_an_export_names_unreadable_files(data: str) -> None:
    put(os.path.join(data, "sessions", "bob.json"), "{")
    put(os.path.join(data, "sessions", "ann.json"), "[]")
    with open(day(data, "timeline"), "a", encoding="utf-8") as file:
        file.write('{"lsn": 9')
    broken = [line for line in exported(data) if "broken" in line]
    assert len(broken) == 2


def test_an_export_of_a_newer_format_is_refused(data: str) -> None:
    """A newer format may contain data that this version does not know. Without a format file, the existing files are
    exported."""
    path = os.path.join(data, "format")
    put(path, "maestro-data 99\n")
    words = [sys.executable, "-m", "maestro_broker.views", "export", "--data-dir", data]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "none newer than" in done.stderr
    assert "--upgrade" in done.stderr
    os.unlink(path)
    assert exported(data)[-1]["kind"] == "end"


def test_the_commands(tmp_path: Path) -> None:
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        refused = person.run("spool", "verify")
        assert refused.code != 0
        assert "there is no" in refused.err
        ann, bob = person.session("ann", role="orchestrator"), person.session("bob")
        ann.done("send", "--to", bob.session_id, "--message", "hello")
        beside = person.done("spool", "verify")
        assert "because a broker is running" in beside.out
        assert "is as it should be" in beside.out
        out = tmp_path / "mail.jsonl"
        person.done("spool", "export", "--out", str(out))
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        assert [line["message"] for line in lines if line["kind"] == "message"] == ["hello"]
        assert lines[-1]["kind"] == "end"
        again = person.run("spool", "export", "--out", str(out))
        assert again.code == 2
        assert "exists" in again.err
        assert person.run("spool", "export", "--out", str(tmp_path / "none" / "x")).code == 2
        printed = person.done("spool", "export", "--session", bob.session_id)
        assert printed.out.splitlines()[0].startswith('{"kind": "maestro-export"')
        person.done("down")
        assert broker_process.find(person.data) is None
        report = person.done("spool", "verify", "--json").json()
        assert report["ok"]
        assert not report["served"]
        put(os.path.join(person.data, "messages", "by-receiver", bob.session_id, "x.json"), "{")
        wrong = person.run("spool", "verify")
        assert wrong.code == 1
        assert "WRONG     messages" in wrong.out
        assert "next: " in wrong.out
