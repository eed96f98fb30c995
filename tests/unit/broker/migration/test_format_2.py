"""The step to format 2: every id is new, nothing else is, and a kill at any call changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.files import disk
from maestro_broker.migration import format_2, old_files
from maestro_broker.migration.progress import Progress
from maestro_schemas.names import mark_of
from support import components
from support.format_1 import Format1, record
from support.recorded_data import pack

if TYPE_CHECKING:
    from pathlib import Path

ANN, BEN, EVE, LEAD = (mark_of(name) for name in ("ann", "ben", "eve", "lead"))
# Found by trying: both have one mark.
TWINS = ("s362547", "s405241")
OLD_NS = 1_600_000_000_000_000_000

# A process that dies before each system call in turn, in a fork; one that continues and dies too; and one that
# finishes. A sync costs much time and changes nothing that a kill could show.
_KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from maestro_broker.files import data_dir, disk
from maestro_broker.migration import format_2
from maestro_broker.migration.progress import Progress
from support.recorded_data import pack
from unit.broker.migration.test_format_2 import filled

left = -1

def mortal(call):
    def run(*args, **kwargs):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args, **kwargs)
    return run

for name in ("open", "write", "rename", "unlink", "symlink", "mkdir", "rmdir", "utime"):
    setattr(os, name, mortal(getattr(os, name)))
os.fsync = disk.sync_file_system = mortal(lambda _: None)

def life(data, calls):
    global left
    pid = os.fork()
    if pid == 0:
        left = calls
        try:
            data_dir.make(data)
            with Progress(data, 1) as progress:
                format_2.run(data, progress)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

import shutil, tempfile
# In memory: some thousand files are made for each call.
top = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
filled(os.path.join(top, "whole"))
assert life(os.path.join(top, "whole"), -1) == 0
wanted = pack(os.path.join(top, "whole"))
code, calls = 9, -1
while code == 9:
    calls += 1
    data = os.path.join(top, str(calls))
    filled(data)
    code = life(data, calls)
    assert code in (0, 9), calls
    assert life(data, calls * 7 % 50) in (0, 9), calls
    assert life(data, -1) == 0, calls
    found = pack(data)
    assert found == wanted, (calls, {name: (found.get(name), wanted.get(name)) for name in {*found, *wanted}
                                     if found.get(name) != wanted.get(name)})
    shutil.rmtree(data)
shutil.rmtree(top)
print(calls)
"""


def filled(data: str) -> Format1:
    """A directory with one of each thing that the step meets."""
    made = Format1(data)
    made.session("ann", "ben", "eve", "lead", *TWINS)
    made.mail("plan-7", "ann", "lead", seq=1, status="read", readAt=2_000, metadata={"data": {"id": "plan-7"}})
    made.mail("a-1", "lead", "ann", metadata={"inReplyTo": "plan-7", "threadId": "plan-7"})
    made.mail("a-2", "ann", "lead", seq=2, metadata={"inReplyTo": "a-1", "threadId": "plan-7"})
    made.mail("gone", "ben", "ann", deleted=True, metadata={"inReplyTo": "plan-7", "threadId": "plan-7"})
    made.mail("plan-7", "eve", "eve", expiresAt=5_000)
    made.mail("k" * 60, "ben", "eve", seq=2)
    for number, twin in enumerate(TWINS, 3):
        made.mail("same", twin, "lead" if number == 3 else "ann", seq=number)
    made.mail("refused_x", "maestro", "ben")
    made.event("message.refused", **{"id": "never", "from": "ann"}, code="RECEIVER_NOT_FOUND")
    made.event("session.ended", session="eve")
    made.event("message.expired", folder="dead-letters", **{"id": "plan-7", "from": "ann", "to": "lead"})
    made.write("messages/by-receiver/ann/.pending", b"")
    made.write("messages/by-receiver/ann/.wake", b"idle\n")
    os.makedirs(os.path.join(made.messages, "by-receiver", "starting"), 0o700)
    made.write("messages/by-receiver/ann/.half.json.tmp", b"{")
    made.write("messages/by-receiver/ben/torn.json", b'{"id":"torn"')
    made.write("messages/by-receiver/ben/notes.txt", b"a person wrote this")
    made.heads(made.lsn)
    accepted = made.message("t-1", "ann", "new", metadata={"inReplyTo": "a-1", "threadId": "plan-7"})
    stored = made.stored("new")
    made.segment(
        made.lsn + 1,
        [
            record("session", at=1_000, change="started", stored=stored),
            record("accepted", message=accepted),
            record("confirmed", id="t-1", mailbox="new", sender="ann", seq=1, kind="offered", at=1, was="pending"),
        ],
    )
    waiting = {"id": "q-1", "to": "lead", "message": "Later.", "metadata": {"inReplyTo": "a-1"}}
    entry = {"version": 1, "queuedAt": 5, "session": "ann", "message": waiting}
    made.write("outbox/ann/000000000000005-q-1.json", json.dumps(entry).encode())
    return made


def run(data: str) -> None:
    with Progress(data, 1) as progress:
        format_2.run(data, progress)


def documents(data: str, below: str) -> list[Any]:
    with open(os.path.join(data, below), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture
def old(tmp_path: Path) -> Format1:
    return filled(str(tmp_path / "data"))


def test_a_message_keeps_everything_but_its_ids(old: Format1) -> None:
    path = os.path.join(old.messages, "by-receiver", "ann", "a-1.json")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    [before] = documents(old.data, "messages/by-receiver/ann/a-1.json")
    run(old.data)
    [after] = documents(old.data, f"messages/by-receiver/ann/a-1_{LEAD}.json")
    assert after == {
        **before,
        "id": f"a-1_{LEAD}",
        "metadata": {"inReplyTo": f"plan-7_{ANN}", "threadId": f"plan-7_{ANN}"},
    }
    status = os.stat(os.path.join(old.messages, "by-receiver", "ann", f"a-1_{LEAD}.json"))
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o600, OLD_NS)
    read = os.path.join(old.messages, "by-receiver", "lead", f"plan-7_{ANN}.json")
    assert os.stat(read).st_mode & 0o777 == 0o400
    [document] = documents(old.data, f"messages/by-receiver/lead/plan-7_{ANN}.json")
    assert document["metadata"]["data"] == {"id": "plan-7"}, "what a sender wrote is no id of ours"


def test_links_lead_by_the_receivers_mark(old: Format1) -> None:
    """Those of deleted mail too; each leads to the file of its own name."""
    run(old.data)
    found = {
        path: entry["link"] for path, entry in pack(old.messages).items() if "link" in entry and "by-" in path[:3]
    }
    sent = sorted(name for name in found if name.startswith("by-sender/ben/"))
    assert sent == [f"by-sender/ben/gone_{BEN}.json", f"by-sender/ben/k_{_digest('k' * 60)}_{BEN}.json"]
    assert found[f"by-sender/ben/gone_{BEN}.json"] == f"../../to/{ANN}/gone_{BEN}.json"
    threads = {name: target for name, target in found.items() if name.startswith("by-thread/")}
    assert threads == {
        f"by-thread/plan-7_{ANN}/a-1_{LEAD}.json": f"../../to/{ANN}/a-1_{LEAD}.json",
        f"by-thread/plan-7_{ANN}/a-2_{ANN}.json": f"../../to/{LEAD}/a-2_{ANN}.json",
        f"by-thread/plan-7_{ANN}/gone_{BEN}.json": f"../../to/{ANN}/gone_{BEN}.json",
    }
    for path, target in found.items():
        whole = os.path.join(os.path.dirname(os.path.join(old.messages, path)), target)
        assert os.path.exists(whole) != ("gone_" in path or "t-1_" in path), path
    ways = {name: os.readlink(os.path.join(old.messages, "to", name)) for name in os.listdir(old.messages + "/to")}
    assert ways[LEAD] == "../by-receiver/lead"


def _digest(key: str) -> str:
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()[:40]


def test_a_foreign_message_of_the_same_id_joins_no_thread(old: Format1) -> None:
    """What a stranger got by choosing an id before, it has no more."""
    run(old.data)
    assert os.path.exists(os.path.join(old.messages, "by-receiver", "eve", f"plan-7_{EVE}.json"))
    assert not os.path.exists(os.path.join(old.messages, "by-thread", f"plan-7_{EVE}"))


def test_two_sessions_of_one_mark_get_two(old: Format1) -> None:
    first, second = sorted(TWINS)
    assert mark_of(first) == mark_of(second)
    run(old.data)
    [stored] = documents(old.data, f"sessions/{second}.json")
    assert stored["salt"] == 1
    assert "salt" not in documents(old.data, f"sessions/{first}.json")[0]
    names = sorted(os.listdir(os.path.join(old.messages, "by-sender", second)))
    assert names == [f"same_{mark_of(second, 1)}.json"]
    assert len(os.listdir(os.path.join(old.messages, "to"))) == len(
        os.listdir(os.path.join(old.messages, "by-receiver"))
    )


def test_events_have_the_new_ids(old: Format1) -> None:
    before = documents(old.data, "timeline/2026-11-30.jsonl")
    run(old.data)
    after = documents(old.data, "timeline/2026-11-30.jsonl")
    assert [{**line, "id": 0, "threadId": 0} for line in after] == [
        {**line, "id": 0, "threadId": 0} for line in before
    ]
    assert (after[1]["id"], after[1]["threadId"]) == (f"a-1_{LEAD}", f"plan-7_{ANN}")
    assert [line["id"] for line in after if line["event"] == "message.refused"] == ["never"]
    assert documents(old.data, "dead-letters/2026-11-30.jsonl")[0]["id"] == f"plan-7_{ANN}"


def test_a_queued_answer_names_what_it_answers_and_keeps_its_key(old: Format1) -> None:
    run(old.data)
    [entry] = documents(old.data, "outbox/ann/000000000000005-q-1.json")
    assert entry["message"]["id"] == "q-1"
    assert entry["message"]["metadata"] == {"inReplyTo": f"a-1_{LEAD}"}


def test_an_entry_of_another_user_is_left_alone(old: Format1) -> None:
    """Rewritten, it would be ours, and the drain would take it for a send of its session."""
    if os.geteuid() != 0:
        components.missing("only root can give a file to another user")
    path = os.path.join(old.data, "outbox", "ann", "000000000000005-q-1.json")
    os.chown(path, 65_534, 65_534)
    run(old.data)
    [entry] = documents(old.data, "outbox/ann/000000000000005-q-1.json")
    assert entry["message"]["metadata"] == {"inReplyTo": "a-1"}
    assert os.stat(path).st_uid == 65_534


def test_what_is_no_message_is_left_for_the_start_to_judge(old: Format1) -> None:
    run(old.data)
    ben = os.path.join(old.messages, "by-receiver", "ben")
    assert {"torn.json", "notes.txt"} <= set(os.listdir(ben))
    assert os.path.exists(os.path.join(old.messages, "by-receiver", "ann", ".pending"))
    assert os.path.exists(os.path.join(old.messages, "by-receiver", "ann", ".wake"))
    assert not os.path.exists(os.path.join(old.messages, "by-receiver", "ann", ".half.json.tmp"))


def test_nothing_is_left_of_the_step_itself(old: Format1) -> None:
    run(old.data)
    assert sorted(os.listdir(old.messages)) == [
        "by-receiver",
        "by-sender",
        "by-thread",
        "journal",
        "quarantine",
        "to",
    ]
    assert not os.path.exists(os.path.join(old.data, "update-progress"))
    for path, entry in pack(old.data).items():
        assert "link" in entry or int(entry["mode"], 8) & 0o077 == 0, path


def test_a_second_run_changes_nothing(old: Format1) -> None:
    """The format file may still name the old version after a power cut."""
    run(old.data)
    found = pack(old.data)
    run(old.data)
    assert pack(old.data) == found


def test_an_empty_directory_becomes_an_empty_one(tmp_path: Path) -> None:
    made = Format1(str(tmp_path / "data"))
    run(made.data)
    assert os.listdir(os.path.join(made.messages, "journal")) == []
    assert os.path.isdir(os.path.join(made.messages, "to"))


def test_old_files_go_in_batches_each_after_a_sync(old: Format1, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the step needs little space beside what is there, and a power cut takes no message."""
    monkeypatch.setattr(old_files, "_BATCH_FILES", 2)
    synced: list[int] = []
    real = disk.sync_file_system

    def sync(directory: str) -> None:
        synced.append(len(os.listdir(os.path.join(old.messages, "by-receiver", "lead"))))
        real(directory)

    monkeypatch.setattr(disk, "sync_file_system", sync)
    run(old.data)
    assert len(synced) > 4


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_before_any_call_and_run_again_gives_the_same_tree() -> None:
    tests = os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)
    command = [sys.executable, "-c", _KILLED, os.path.abspath(tests)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4_000:]
    assert int(ran.stdout) > 150
