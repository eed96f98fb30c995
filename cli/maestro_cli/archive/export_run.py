"""Export run: collects what was asked for over the command's connection, and writes it.

Rule: on a terminal a long collection shows its progress on standard error. Nothing is written before all is there.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from maestro_cli.addressing.message_ids import resolve
from maestro_cli.context import now_ms
from maestro_cli.output import streams
from maestro_clients.exports import collecting, writers
from maestro_clients.exports.writers import ExportSettings, Format
from maestro_runtime import places
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import AUDIENCE_SIGIL, OPERATOR
from maestro_schemas.texts.near_words import nearest

from . import out_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_cli.context import CommandContext
    from maestro_clients.exports.collecting import Collection, Export, ExportQuery
    from maestro_clients.one_shot_client import AnyClient

_WHAT = {"thread": "ID", "with": "A [B]", "group": "NAME", "session": "ID"}
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def query_of(what: Sequence[str], query: str | None, own: str | None) -> ExportQuery:
    """What the words mean: `thread ID`, `with A B`, `group NAME`, `session ID`, or none. `own`: the caller's session.
    Raises MaestroError INVALID."""
    found = collecting.ExportQuery(query=query)
    if not what:
        return found
    word, *names = what
    if word not in _WHAT:
        raise _no_word(word)
    counts = (1, 2) if word == "with" else (1,)
    if len(names) not in counts or not all(names):
        raise MaestroError(
            "INVALID",
            f"`export {word}` takes {'one or two names' if word == 'with' else 'one name'}, and got {len(names)}",
            f"maestro export {word} {_WHAT[word]}",
        )
    if query is not None and word != "session":
        raise MaestroError(
            "INVALID",
            f"`export {word}` and --query exclude each other",
            f"Write it into the query: {word}:{names[0]}",
        )
    if word == "thread":
        return found._replace(thread=names[0])
    if word == "group":
        return found._replace(peer=f"{AUDIENCE_SIGIL}{names[0].removeprefix(AUDIENCE_SIGIL)}")
    if word == "session":
        return found._replace(session=names[0])
    first, second = (own or OPERATOR, names[0]) if len(names) == 1 else names
    # One's own mail needs no further right.
    return found._replace(session=None if first == own else first, peer=second)


def run(
    context: CommandContext,
    query: ExportQuery,
    kind: Format,
    out: str | None,
    *,
    attachments: bool,
    texts: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Write the export; returns the exit code. Raises MaestroError."""
    directory = _directory(out, attachments=attachments)
    if directory is None and out is not None:
        out_file.check(os.path.abspath(out), force=force)
    with context.client() as client:
        if query.thread is not None:
            query = query._replace(thread=resolve(client, query.thread))
        export = _collected(client, collecting.Collection(query))
        settings = ExportSettings(context.own_session, now_ms(), texts)
        if directory is not None:
            out = os.path.join(directory, f"{_name(export)}.{kind}")
            out_file.check(out, force=force)
        if attachments and out is not None:
            from . import saved_files

            settings = settings._replace(
                files=saved_files.save(client, export, os.path.dirname(os.path.abspath(out)))
            )
    pieces = writers.FORMATS[kind].write(export, settings)
    if out is None:
        for piece in pieces:
            streams.say(piece.removesuffix("\n"))
        _note(export)
        return 0
    size = out_file.write(os.path.abspath(out), pieces, force=force)
    _note(export)
    count = len(export.entries)
    if as_json:
        streams.say_json({"path": os.path.abspath(out), "messages": count, "bytes": size})
    else:
        streams.note(f"maestro: {places.shown(out)} has {count:,} message{'' if count == 1 else 's'}, {size:,} bytes")
    return 0


def _collected(client: AnyClient, collection: Collection) -> Export:
    from maestro_cli.output.progress import progress

    steps = collection.steps()
    with progress("export") as show:
        try:
            request = next(steps)
            while True:
                try:
                    outcome: Any = client.request(request)
                except MaestroError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(outcome)
                show("messages", collection.found)
        except StopIteration as end:
            export: Export = end.value
            return export


def _directory(out: str | None, *, attachments: bool) -> str | None:
    """The directory that the export goes into; None for a file, or standard output."""
    if attachments and out is None:
        raise MaestroError("INVALID", "--attachments needs --out DIR", "The files are saved in DIR/files.")
    if out is None:
        return None
    # With files it is a directory, unless the name is one of a document.
    is_document = out.endswith(tuple(f".{kind}" for kind in writers.FORMATS))
    if not (os.path.isdir(out) or out.endswith("/") or (attachments and not is_document)):
        return None
    folder = os.path.abspath(out)
    try:
        places.make_directory(folder)
    except OSError as error:
        raise places.refusal(
            "FILE_UNREADABLE", f"{places.shown(out)} can't be used", error, "Give another place."
        ) from None
    return folder


def _name(export: Export) -> str:
    """The name of the file in a directory, without its ending."""
    query = export.query
    words = [query.session, query.peer] if query.peer else [query.thread or query.session or query.query or "all"]
    return _NO_NAME.sub("-", "-".join(word for word in words if word)).strip("-.")[:80] or "export"


def _note(export: Export) -> None:
    if not export.entries:
        streams.note("maestro: no message was found")
    elif export.has_more:
        streams.note(f"maestro: these are the newest {len(export.entries):,}; a greater --limit has more")


def _no_word(word: str) -> MaestroError:
    near = nearest(word, _WHAT)
    if near:
        hint = f"Did you mean `export {near[0]}`?"
    elif word.startswith("msg_"):
        hint = f"For its thread: maestro export thread {word}"
    elif word.startswith(AUDIENCE_SIGIL):
        hint = f"maestro export group {word[1:]}"
    else:
        hint = "Write `thread ID`, `with A B`, `group NAME`, `session ID`, or nothing for all."
    return MaestroError("INVALID", f"{word[:80]!r} is not what `export` takes", hint)
