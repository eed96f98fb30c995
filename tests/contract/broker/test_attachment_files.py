"""`spool verify` finds each way in which attached files can be wrong, `spool export` has their content, and TCP
carries them under the rights of its keys."""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.views.export import SpoolExporter
from maestro_broker.views.verify import SpoolVerifier
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from support.attached import beside, blob, described, digest_of, get, put, send
from support.far_office import make_key, open_door
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.post_office import PostOffice

PATCH = b"--- a\n+++ b\n" * 100


@pytest.fixture
def sent(open_office: PostOffice) -> str:
    """The id of a message with one file, all filed, and no broker any more."""
    ann = open_office.client("ann")
    put(ann, PATCH)
    result = send(ann, "bob", described(PATCH))
    eventually(lambda: ann.stats()["filingBacklog"] == 0, "all is filed")
    open_office.stop()
    return result["id"]


def _findings(office: PostOffice) -> list[tuple[str, str, bool]]:
    lines: list[dict[str, Any]] = []
    SpoolVerifier(office.data, lines.append, is_served=False).run()
    return [(line["finding"], line["path"], line["harmless"]) for line in lines if "finding" in line]


def _change(path: str) -> None:
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.write(b"?")
    os.chmod(path, 0o400)


def _alone(path: str) -> None:
    """As a copy without links."""
    shutil.copyfile(path, path + "-copy")
    os.chmod(path + "-copy", 0o400)
    os.rename(path + "-copy", path)


def _alone_and_changed(path: str) -> None:
    _alone(path)
    _change(path)


def _cut(path: str) -> None:
    _alone(path)
    os.chmod(path, 0o600)
    os.truncate(path, 3)
    os.chmod(path, 0o400)


def _linked(path: str) -> None:
    os.unlink(path)
    os.symlink("/etc/passwd", path)


def test_sound_files_have_no_finding(open_office: PostOffice, sent: str) -> None:
    assert _findings(open_office) == []
    _alone(beside(open_office, "bob", sent, "cart.patch"))
    assert _findings(open_office) == [], "a copy is as good"


@pytest.mark.parametrize("damage", [os.unlink, _alone_and_changed, _cut, _linked])
def test_damage_beside_a_message_is_found(open_office: PostOffice, sent: str, damage: Callable[[str], None]) -> None:
    path = beside(open_office, "bob", sent, "cart.patch")
    damage(path)
    assert _findings(open_office) == [("messages", path, False)]


def test_a_changed_blob_is_found_at_each_of_its_names(open_office: PostOffice, sent: str) -> None:
    path = blob(open_office, digest_of(PATCH))
    _change(path)
    beside_it = beside(open_office, "bob", sent, "cart.patch")
    assert _findings(open_office) == [("attached files", path, False), ("messages", beside_it, False)]


def test_what_does_not_belong_there_is_harmless(open_office: PostOffice, sent: str) -> None:
    orphan, foreign = beside(open_office, "bob", "msg_gone"), beside(open_office, "bob", sent, "foreign")
    stray, writable = blob(open_office, "ab-stray"), blob(open_office, digest_of(PATCH))
    os.mkdir(orphan, 0o700)
    os.makedirs(os.path.dirname(stray), 0o700, exist_ok=True)
    for path in (foreign, stray):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8"):
            pass
    os.chmod(writable, 0o600)
    wanted = {("attached files", stray, True), ("attached files", writable, True)}
    wanted |= {("messages", orphan, True), ("messages", foreign, True)}
    assert set(_findings(open_office)) == wanted


def test_an_export_has_each_content_once(open_office: PostOffice, sent: str) -> None:
    open_office.start()
    again = send(open_office.client("ann"), "bob", described(PATCH, "again"), key="m2")["id"]
    eventually(lambda: open_office.client().stats()["filingBacklog"] == 0, "all is filed")
    open_office.stop()
    lines: list[dict[str, Any]] = []
    SpoolExporter(open_office.data, None, lambda line: lines.append(json.loads(line)), lambda _: None).run()
    [content] = [line for line in lines if line["kind"] == "blob"]
    assert (content["sha256"], content["size"]) == (digest_of(PATCH), len(PATCH))
    assert base64.b64decode(content["data"]) == PATCH
    assert {line["id"] for line in lines if line["kind"] == "message"} == {sent, again}
    assert not any("broken" in line for line in lines)
    for message_id, name in ((sent, "cart.patch"), (again, "again")):
        os.unlink(beside(open_office, "bob", message_id, name))
    lines.clear()
    SpoolExporter(open_office.data, None, lambda line: lines.append(json.loads(line)), lambda _: None).run()
    [missing] = [line for line in lines if line["kind"] == "blob"]
    assert "broken" in missing


def test_files_over_tcp_under_the_rights_of_a_key(post_office: PostOffice) -> None:
    address = open_door(post_office)
    post_office.start()
    post_office.sessions("ann", "bob", "eve")
    keys = {name: make_key(post_office, f"key-{name}", sessions=(name,)) for name in ("ann", "bob", "eve")}
    content = os.urandom(1 << 20)
    with Client(f"{address}#{keys['ann']}", Caller("ann")) as ann:
        put(ann, content)
        message_id = send(ann, "bob", described(content, "big.bin"))["id"]
        with pytest.raises(MaestroError) as refused:
            ann.blob_stat(digest_of(content), len(content), caller=Caller())
        assert refused.value.code == "NO_SESSION"
        with pytest.raises(MaestroError) as refused:
            ann.blob_get(message_id, "big.bin", caller=Caller("bob"))
        assert refused.value.code == "FORBIDDEN"
    with Client(f"{address}#{keys['bob']}", Caller("bob")) as bob:
        assert get(bob, message_id, "big.bin") == content
    with Client(f"{address}#{keys['eve']}", Caller("eve")) as eve:
        with pytest.raises(MaestroError) as refused:
            eve.blob_get(message_id, "big.bin")
        assert refused.value.code == "MESSAGE_NOT_FOUND"
