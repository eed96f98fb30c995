"""The thread that makes uploads whole."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.attachments.blob_finisher import BlobFinisher, Upload
from maestro_broker.attachments.blob_store import BlobStore
from maestro_schemas.errors import MaestroError
from support.attached import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"content"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path))


@pytest.fixture
def finisher(store: BlobStore) -> Iterator[BlobFinisher]:
    made = BlobFinisher(store)
    yield made
    made.close()


def _upload(store: BlobStore, content: bytes = CONTENT, sha256: str = digest_of(CONTENT)) -> Upload:
    path = store.part_path(sha256, len(CONTENT), "ann")
    store.append(path, 0, content)
    return Upload(path, sha256, len(CONTENT))


def _outcomes(finisher: BlobFinisher, count: int) -> list[Any]:
    found: list[Any] = []
    while len(found) < count:
        assert select.select([finisher.fd], [], [], 10)[0]
        found += finisher.outcomes()
    return found


def test_uploads_are_finished_in_order(store: BlobStore, finisher: BlobFinisher) -> None:
    assert finisher.outcomes() == []
    good = _upload(store)
    finisher.begin(good)
    assert _outcomes(finisher, 1) == [(good, None)]
    wrong = _upload(store, b"another")
    finisher.begin(wrong)
    [(upload, error)] = _outcomes(finisher, 1)
    assert upload == wrong
    assert error.code == "BLOB_MISMATCH"
    assert finisher.outcomes() == []
    assert not select.select([finisher.fd], [], [], 0)[0]
    finisher._writer.send(b"\0")  # as of an outcome that was taken before its signal came
    assert finisher.outcomes() == []
    assert not select.select([finisher.fd], [], [], 0)[0], "the loop would wake for it without end"


@pytest.mark.parametrize("failed", [OSError(errno.EIO, "broken"), ZeroDivisionError("a defect")])
def test_an_error_of_one_upload_ends_no_other(
    store: BlobStore, finisher: BlobFinisher, monkeypatch: pytest.MonkeyPatch, failed: Exception
) -> None:
    first = _upload(store)

    def fail(*_: object) -> None:
        raise failed

    with monkeypatch.context() as patched:
        patched.setattr(store, "adopt", fail)
        finisher.begin(first)
        [(_, error)] = _outcomes(finisher, 1)
    assert error is failed if isinstance(failed, OSError) else isinstance(error, MaestroError)
    finisher.begin(first)
    assert _outcomes(finisher, 1) == [(first, None)]


def test_many_at_once_are_all_reported(store: BlobStore, finisher: BlobFinisher) -> None:
    for number in range(50):
        content = b"%07d" % number
        finisher.begin(_upload(store, content, digest_of(content)))
    assert [error for _, error in _outcomes(finisher, 50)] == [None] * 50
    assert store.size.blobs == 50


def test_what_was_begun_is_finished_by_the_end(store: BlobStore) -> None:
    finisher = BlobFinisher(store)
    finisher.begin(_upload(store))
    finisher.close()
    assert os.path.exists(store.path(digest_of(CONTENT)))
