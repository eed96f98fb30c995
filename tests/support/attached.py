"""Attached: files that tests put into a post office and attach to messages."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from maestro_runtime import paths
from maestro_schemas.limits import BLOB_PART_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_clients.client import Client
    from maestro_schemas.documents import AttachmentDoc, SendResultDoc
    from support.post_office import PostOffice


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def described(content: bytes, name: str = "cart.patch") -> AttachmentDoc:
    """What a message says of a file."""
    return {"name": name, "size": len(content), "type": "text/x-patch", "sha256": digest_of(content)}


def put(client: Client, content: bytes, *, part_bytes: int = BLOB_PART_BYTES_MAX) -> str:
    """Put a whole file, from where the post office has it; its digest."""
    sha256 = digest_of(content)
    held = client.blob_stat(sha256, len(content))
    while not held["whole"]:
        at = held["held"]
        held = client.blob_put(sha256, len(content), at, content[at : at + part_bytes])
    return sha256


def get(client: Client, message_id: str, name: str) -> bytes:
    """A whole file of a message."""
    parts = [client.blob_get(message_id, name)]
    while (held := sum(len(part["data"]) for part in parts)) < parts[0]["size"]:
        parts.append(client.blob_get(message_id, name, offset=held))
    return b"".join(part["data"] for part in parts)


def send(
    client: Client, to: str | list[str], *files: AttachmentDoc, key: str = "m1", text: str = "see the file"
) -> SendResultDoc:
    """Send one message with these files."""
    return client.send_many([{"id": key, "to": to, "message": text, "attachments": list(files)}])[0]


def store(office: PostOffice) -> str:
    return os.path.join(office.data, "attachments")


def blob(office: PostOffice, sha256: str) -> str:
    return os.path.join(store(office), "blobs", sha256[:2], sha256)


def blobs(office: PostOffice) -> list[str]:
    """The digests of all blobs."""
    top = os.path.join(store(office), "blobs")
    return sorted(name for _, _, names in os.walk(top) for name in names)


def beside(office: PostOffice, receiver: str, message_id: str, name: str = "") -> str:
    """The path of a file beside a receiver's message, or of their folder."""
    return os.path.join(paths.receiver_dir(office.data, receiver), f"{message_id}.files", name).rstrip("/")


def all_files(office: PostOffice) -> Iterator[str]:
    """Every file beside any message."""
    for directory, _, names in os.walk(os.path.join(office.data, "messages", "by-receiver")):
        if directory.endswith(".files"):
            yield from (os.path.join(directory, name) for name in names)
