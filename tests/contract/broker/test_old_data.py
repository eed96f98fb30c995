"""A data directory that an older commit wrote is readable: clients see everything that they saw before.

`tests/support/data_dirs/record.py` made the recordings. In `killed` the broker was killed before it had filed the
last batch; in `stopped` it had stopped in order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_schemas.names import mark_of
from support.post_office import eventually
from support.recorded_data import Wire, new_ids, observe, pack, renamed, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

DIRECTORY = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "support", "data_dirs")
RECORDINGS = sorted(name.removesuffix(".json") for name in os.listdir(DIRECTORY) if name.endswith(".json"))
# The recordings become older, and nothing in them may expire because of that.
SETTINGS: dict[str, str | int] = {
    "retention": "36500d",
    "ttl_ms_max": "36500d",
    "segment_bytes": 65_536,
    "disk_reserve_bytes": 65_536,
}
BYTES_MAX = 60_000


@pytest.fixture(params=RECORDINGS)
def recording(request: pytest.FixtureRequest) -> dict[str, Any]:
    with open(os.path.join(DIRECTORY, f"{request.param}.json"), encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


@pytest.fixture
def ids(recording: dict[str, Any]) -> dict[str, str]:
    """The new id of each message, by its old one."""
    return new_ids(recording)


@pytest.fixture
def old_office(post_office: PostOffice, recording: dict[str, Any]) -> PostOffice:
    """A post office with the recorded directory; no broker runs."""
    unpack(recording["files"], post_office.data)
    return post_office


@pytest.fixture
def wire(old_office: PostOffice) -> Iterator[Wire]:
    """A connection to a broker of this commit that serves the directory."""
    found = Wire(old_office.start(**SETTINGS).router)
    yield found
    found.close()


def spool(post_office: PostOffice, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maestro_cli", "spool", *words]
    return subprocess.run(command, env=post_office.environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_small_and_text(name: str) -> None:
    assert os.path.getsize(os.path.join(DIRECTORY, f"{name}.json")) < BYTES_MAX


def test_unpacking_restores_the_packed_files(old_office: PostOffice, recording: dict[str, Any]) -> None:
    assert pack(old_office.data) == recording["files"]


def test_clients_see_what_they_saw(wire: Wire, recording: dict[str, Any], ids: dict[str, str]) -> None:
    """With the new ids, and nothing else is different. A repeat is sent under the id of before."""
    seen, asked = renamed(recording["seen"], ids), recording["asked"]
    now = observe(wire, asked["sessions"], [ids[name] for name in asked["ids"]], asked["repeats"])
    for repeat in now["repeats"]:
        # A field that later versions have added.
        repeat["results"][0].pop("toName", None)
    # The timeline continues, and its old events are unchanged.
    assert now["events"][: len(seen["events"])] == seen["events"]
    assert {name: value for name, value in now.items() if name != "events"} == {
        name: value for name, value in seen.items() if name != "events"
    }
    # Each repeat got the answer of the first send, or the message's later state.
    assert {item["results"][0]["status"] for item in now["repeats"]} == {200}


def test_a_repeat_of_before_is_no_new_message(wire: Wire, recording: dict[str, Any]) -> None:
    """No record, no number: the journal and every mailbox end where they ended."""
    before = wire.call("stats", {})["stats"]["headLsn"]
    for item in recording["asked"]["repeats"]:
        wire.call("send", {"messages": [item["message"]]}, session=item["session"], token=item["token"])
    assert wire.call("stats", {})["stats"]["headLsn"] == before


def test_the_last_batch_is_there_although_it_was_not_filed(
    wire: Wire, recording: dict[str, Any], ids: dict[str, str]
) -> None:
    found = wire.call("inbox", {"session": "tail", "since": 0})
    kept = [{name: item[name] for name in ("id", "seq", "createdAt")} for item in found["messages"]]
    assert kept == renamed(recording["tail"], ids)
    assert [item["message"] for item in found["messages"]] == [
        f"The text of {item['id']}." for item in recording["tail"]
    ]


def test_the_waiting_outbox_entry_is_sent_and_the_failed_one_stays(old_office: PostOffice, wire: Wire) -> None:
    [sent] = wire.call("inbox", {"session": "late", "since": 0})["messages"]
    assert (sent["id"], sent["from"], sent["seq"]) == (f"q_waiting_{mark_of('ben')}", "ben", 1)
    outbox = os.path.join(old_office.data, "outbox", "ben")
    eventually(lambda: [name.partition("-")[2] for name in os.listdir(outbox)] == ["q_failed.failed"], "one is left")


def test_numbers_go_on_where_they_ended(wire: Wire, recording: dict[str, Any]) -> None:
    for name, inbox in recording["seen"]["inboxes"].items():
        body = {"id": f"new_{name}", "to": name, "message": "x", "onEnded": "queue"}
        [result] = wire.call("send", {"messages": [body]}, session="lead", token="token-of-lead")["results"]
        assert (result["status"], result["seq"]) == (201, inbox["headSeq"] + 1)


def test_a_token_is_still_asked_for(wire: Wire) -> None:
    assert wire.call("inbox", {}, session="ann")["code"] == "TOKEN_REQUIRED"
    assert wire.call("inbox", {}, session="ann", token="wrong")["code"] == "TOKEN_MISMATCH"
    assert wire.call("inbox", {}, session="ann", token="token-of-ann")["headSeq"] > 0


def test_verify_and_export_ask_for_a_start_and_are_clean_after_it(
    old_office: PostOffice, recording: dict[str, Any], ids: dict[str, str]
) -> None:
    for words in (("verify", "--json"), ("export",)):
        refused = spool(old_office, *words)
        assert refused.returncode == 1
        assert "`maestro up`" in refused.stdout + refused.stderr
    mail = {found["id"] for inbox in recording["seen"]["inboxes"].values() for found in inbox["messages"]}
    mail |= {item["id"] for item in recording["tail"]}
    for _ in range(2):
        old_office.start(**SETTINGS)
        old_office.stop()
        verified = spool(old_office, "verify", "--json")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        exported = spool(old_office, "export")
        assert exported.returncode == 0, exported.stderr
        lines = [json.loads(line) for line in exported.stdout.splitlines()]
        assert {ids[name] for name in mail} <= {line["id"] for line in lines if line["kind"] == "message"}
        assert lines[-1]["kind"] == "end"


def test_a_start_warns_of_nothing(wire: Wire) -> None:
    assert wire.call("stats", {})["stats"]["warnings"] == []


def test_an_update_that_was_begun_is_finished(old_office: PostOffice) -> None:
    path = os.path.join(old_office.data, "format")
    with open(path, "w", encoding="ascii") as file:
        file.write("maestro-data 1 to 2\n")
    old_office.start(**SETTINGS)
    with open(path, encoding="ascii") as file:
        assert file.read() == "maestro-data 2\n"
