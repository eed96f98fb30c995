"""`maestro attachment save`: writes files of a message into a directory.

Rule: a file that is there is replaced only with --force, and no file is ever there in part. All is checked before the
first one is written.
"""

from __future__ import annotations

import os

from maestro_cli.addressing.message_ids import resolve
from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Annotated

    from maestro_cli.options import AsOption, Option, YesOption
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import AttachmentDoc, MessageDoc

DETAILS = """\
Without NAME it saves all files of the message. The content is checked against
the digest that the message names. For the message's sender, its receiver, and
the operator, also where the broker is on another machine.

Examples:
  maestro attachment save k3v9
  maestro attachment save k3v9 cart.patch --to /tmp
  maestro attachment save k3v9 shot.png --force"""

USAGE = "maestro attachment save ID [NAME] [OPTIONS]"

_MODE = 0o600


def run(
    message_id: Annotated[str, Option(name="ID", help="The message's id.")],
    name: Annotated[str | None, Option(name="NAME", help="Only the file of this name.")] = None,
    /,
    *,
    to: Annotated[
        str | None, Option(name="--to", metavar="DIR", help="The directory. Default: the current one.")
    ] = None,
    force: Annotated[bool, Option(help="Replace a file that is there.")] = False,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"id", "saved": [...]} as JSON.')] = False,
) -> int:
    """Save files of a message."""
    context = CommandContext.here(speaks_as, sure=yes)
    folder = os.path.abspath(os.path.expanduser(to or "."))
    with context.client() as client:
        message = client.message(resolve(client, message_id))
        files = _chosen(message, name)
        targets = [_target(folder, file, force=force) for file in files]
        for file, target in zip(files, targets, strict=True):
            _write(target, _content(context, client, message, file), force=force)
    if as_json:
        saved = [
            {"name": file["name"], "size": file["size"], "sha256": file["sha256"], "path": target}
            for file, target in zip(files, targets, strict=True)
        ]
        streams.say_json({"id": message["id"], "saved": saved})
        return 0
    from maestro_clients.texts.byte_counts import size
    from maestro_runtime import places

    lines = [f"Saved {places.shown(path)} ({size(file['size'])})." for file, path in zip(files, targets, strict=True)]
    streams.say("\n".join(lines))
    return 0


def _chosen(message: MessageDoc, name: str | None) -> Sequence[AttachmentDoc]:
    """Raises MaestroError BLOB_NOT_FOUND."""
    files = message.get("attachments", [])
    if name is None and files:
        return files
    found = [file for file in files if file["name"] == name]
    if not found:
        from maestro_clients.texts.fence import named

        has = ", ".join(named(file["name"]) for file in files)
        which = "no files" if name is None else f"no file {named(name)}"
        raise MaestroError(
            "BLOB_NOT_FOUND",
            f"{message['id']} has {which}",
            f"It has {has}." if files else "`maestro search has:attachment` finds the messages with files.",
        )
    return found


def _target(folder: str, file: AttachmentDoc, *, force: bool) -> str:
    """Raises MaestroError CONFLICT for a file that is there, FILE_UNREADABLE for a folder that is not."""
    from maestro_runtime import places
    from maestro_schemas.texts.attachment_names import safe_names

    # A broker of another machine is not trusted to have made the name safe.
    target = os.path.join(folder, safe_names([file["name"]])[0])
    if not os.path.isdir(folder):
        raise MaestroError(
            "FILE_UNREADABLE", f"{places.shown(folder)} is no directory", "Make it, or give another with --to."
        )
    if os.path.isdir(target) or (os.path.lexists(target) and not force):
        raise _exists(target)
    return target


def _content(context: CommandContext, client: AnyClient, message: MessageDoc, file: AttachmentDoc) -> bytes:
    import hashlib

    from maestro_clients.mailbox import received_files
    from maestro_runtime import places

    here = received_files.beside(context.data, message, file)
    if here is not None:
        try:
            content = places.read(here, file["size"] + 1)
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() == file["sha256"]:
            return content
    return received_files.content(client, message["id"], file)


def _write(target: str, content: bytes, *, force: bool) -> None:
    from maestro_runtime import atomic_file, places

    aside = os.path.join(os.path.dirname(target), f".maestro-{os.getpid()}.new")
    try:
        atomic_file.stage(aside, content, durable=False, mode=_MODE)
        try:
            if force:
                os.rename(aside, target)
            else:
                # Unlike a rename, it replaces nothing that another program has made meanwhile.
                os.link(aside, target)
        finally:
            if os.path.lexists(aside):
                os.unlink(aside)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{places.shown(target)} can't be written: {error.strerror or error}",
            "Give another directory with --to.",
        ) from None


def _exists(target: str) -> MaestroError:
    from maestro_runtime import places

    return MaestroError(
        "CONFLICT", f"{places.shown(target)} exists", "--force replaces it. Or save elsewhere: --to DIR."
    )
