"""What a request may take of the disk before it is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.commit.disk_admission import DiskAdmission
from maestro_schemas.bodies.attachments import BlobPut
from maestro_schemas.requests import Outgoing, Send
from support.journals import open_journal

if TYPE_CHECKING:
    from pathlib import Path

MORE_THAN_ANY_DISK = 1 << 62


def test_the_bytes_of_a_file_are_no_bytes_of_a_record(tmp_path: Path) -> None:
    journal, _ = open_journal(str(tmp_path / "journal"))
    try:
        admission = DiskAdmission(str(tmp_path), journal, 64)
        part = BlobPut(sha256="a" * 64, size=1, offset=0, data=b"x")
        send = Send(messages=[Outgoing(id="m1", to="bob", text="x")])
        assert admission.admit(part, MORE_THAN_ANY_DISK) is None
        assert admission.admit(send, 10) is None, "the part took nothing of the batch"
        full = admission.admit(send, MORE_THAN_ANY_DISK)
        assert full is not None
        assert full.code == "STORAGE_FULL"
    finally:
        journal.close()
