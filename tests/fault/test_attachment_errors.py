"""A slow or full disk under attached files: other requests go on, and no accepted message stays without its file."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from fault import injection
from support.attached import beside, blobs, described, digest_of, get, put, send
from support.post_office import eventually

if TYPE_CHECKING:
    from support.post_office import PostOffice

PATCH = b"--- a\n+++ b\n" * 1_000


def test_a_sync_of_a_file_stops_no_other_request(fault_office: PostOffice) -> None:
    injection.require_strace()
    fault_office.start()
    fault_office.sessions("ann", "bob")
    fault_office.stop()
    # The first call of each thread: the main loop's is behind it when it serves.
    fault_office.launcher = injection.launcher(["fsync"], "fsync:delay_enter=3000000:when=1")
    fault_office.start()
    done = threading.Event()

    def upload() -> None:
        with fault_office.client("ann", timeout_s=60.0) as client:
            put(client, PATCH)
        done.set()

    thread = threading.Thread(target=upload)
    thread.start()
    bob = fault_office.client("bob")
    parts = os.path.join(fault_office.data, "attachments", "parts")
    eventually(lambda: os.path.isdir(parts) and bool(os.listdir(parts)), "the part is there", 30.0)
    for _ in range(20):
        bob.send("ann", "meanwhile")
    assert not done.is_set(), "the sends were answered while the file was synced"
    assert blobs(fault_office) == []
    thread.join(60.0)
    assert done.is_set()
    assert blobs(fault_office) == [digest_of(PATCH)]


def test_a_link_that_finds_no_space_is_made_later(fault_office: PostOffice) -> None:
    injection.require_strace()
    fault_office.start()
    fault_office.sessions("ann", "bob")
    fault_office.stop()
    # The first call of each thread: the main loop's after the commit, then the spool writer's.
    fault_office.launcher = injection.fail_at("linkat", "ENOSPC", "1")
    fault_office.start()
    ann = fault_office.client("ann")
    put(ann, PATCH)
    sent = send(ann, "bob", described(PATCH))
    assert sent["status"] == 201
    path = beside(fault_office, "bob", sent["id"], "cart.patch")
    assert get(fault_office.client("bob"), sent["id"], "cart.patch") == PATCH
    eventually(lambda: os.path.exists(path), "the spool writer makes the link", 20.0)
    with open(path, "rb") as file:
        assert file.read() == PATCH
