"""The files of queued messages: which are named, and which may go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.outbox import queued_blobs
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas.outbox_entry import OutboxEntry

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = "1" * 64, "2" * 64


def _outgoing(key: str, *digests: str) -> dict[str, Any]:
    files = [{"name": "x", "size": 1, "type": "t", "sha256": sha256} for sha256 in digests]
    return {"id": key, "to": "bob", "message": "x", "attachments": files}


@pytest.fixture
def outbox(tmp_path: Path) -> OutboxDir:
    made = OutboxDir(str(tmp_path / "outbox"))
    os.makedirs(os.path.join(made.path, queued_blobs.BLOBS_FOLDER))
    for sha256 in (ONE, TWO):
        with open(queued_blobs.path_of(made, sha256), "wb") as file:
            file.write(b"x")
    return made


def _there(outbox: OutboxDir) -> list[str]:
    folder = os.path.join(outbox.path, queued_blobs.BLOBS_FOLDER)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def test_a_file_goes_with_the_last_entry_that_names_it(outbox: OutboxDir) -> None:
    first, second = _outgoing("m1", ONE, TWO), _outgoing("m2", TWO)
    paths = [outbox.add(OutboxEntry(number, "ann", None, body)) for number, body in enumerate((first, second), 1)]
    assert queued_blobs.named_digests(outbox) == {ONE, TWO}
    outbox.remove(paths[0])
    queued_blobs.remove_unnamed(outbox, first)
    assert _there(outbox) == [TWO]
    outbox.remove(paths[1])
    queued_blobs.remove_unnamed(outbox, second)
    queued_blobs.remove_unnamed(outbox, second)
    assert _there(outbox) == []


@pytest.mark.parametrize("attachments", [None, 1, "x", [1], [{}], [{"sha256": 1}], {}])
def test_what_names_nothing_removes_nothing(outbox: OutboxDir, attachments: object) -> None:
    outgoing = {"id": "m1", "attachments": attachments}
    assert queued_blobs.digests_of(outgoing) == set()
    queued_blobs.remove_unnamed(outbox, outgoing)
    assert _there(outbox) == [ONE, TWO]


def test_a_path_is_no_digest(tmp_path: Path, outbox: OutboxDir) -> None:
    (tmp_path / "precious").write_bytes(b"x")
    queued_blobs.remove_unnamed(outbox, _outgoing("m1", "../../precious"))
    assert (tmp_path / "precious").exists()
