"""Queued blobs: the attached files of sends that wait in an outbox.

Rule: a client puts `<outbox>/blobs/<sha256>` there, whole and durable, before the entry that names it. The drain
takes it into the post office, where its digest is checked, and removes it with the last entry that names it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_runtime.outbox_dir import OutboxDir

BLOBS_FOLDER = "blobs"


def path_of(outbox: OutboxDir, sha256: str) -> str:
    """Where a client has put a file."""
    return os.path.join(outbox.path, BLOBS_FOLDER, sha256)


def digests_of(outgoing: Mapping[str, Any]) -> set[str]:
    """The digests that a queued message names, as far as they can be read."""
    named = outgoing.get("attachments")
    found = (each.get("sha256") for each in named if isinstance(each, dict)) if isinstance(named, list) else ()
    return {sha256 for sha256 in found if isinstance(sha256, str)}


def named_digests(outbox: OutboxDir) -> set[str]:
    """The digests that any entry names, refused ones included: those may be sent again."""
    return {sha256 for queued in outbox.entries() for sha256 in digests_of(queued.entry.outgoing)}


def remove_unnamed(outbox: OutboxDir, outgoing: Mapping[str, Any]) -> None:
    """Remove the files of a message whose entry is gone, but for those that another entry names, or that a client
    adds at this moment."""
    if digests_of(outgoing):
        outbox.collect_blobs()
