"""`maestro outbox`: the messages that wait for a broker.

Rule: it reads the files themselves, so it works without a broker; a sender's token is never shown.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option
    from maestro_clients.texts.short_ids import ShortIds
    from maestro_schemas.outbox_entry import OutboxEntry

DETAILS = """\
A running broker reads the outbox by itself, once a second; --replay starts a
broker if none runs. A message that was refused for good stays here with the
reason: `maestro message retry ID` sends it again, and removing the file drops
it. With the broker on another machine (MAESTRO_BROKER), the next command that
reaches it sends the waiting messages.

Examples:
  maestro outbox
  maestro outbox --replay
  maestro outbox --json"""

_PREVIEW_CHARS = 60


def run(
    *,
    replay: Annotated[bool, Option(help="Send the waiting messages now.")] = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"waiting": [...], "failed": [...]} as JSON.')
    ] = False,
) -> int:
    """Show the outbox."""
    from maestro_clients.outbox.outbox_files import entries

    context = CommandContext.here()
    counts: dict[str, int] | None = None
    if replay:
        counts = _replayed(context)
    found = entries(context.data)
    waiting = [(path, entry) for path, entry in found if entry.failure is None]
    failed = [(path, entry) for path, entry in found if entry.failure is not None]
    if as_json:
        document: dict[str, Any] = {
            "waiting": [_document(path, entry) for path, entry in waiting],
            "failed": [_document(path, entry) for path, entry in failed],
        }
        if counts is not None:
            document["replayed"] = counts
        streams.say_json(document)
        return 0
    lines = []
    if counts is not None:
        lines.append(f"Sent {counts['sent']}; {counts['waiting']} wait, {counts['failed']} failed.")
    from maestro_clients.texts.short_ids import ShortIds

    short = ShortIds(str(entry.outgoing["id"]) for _, entry in found)
    lines += [line for path, entry in waiting for line in _lines(path, entry, "waits", short)]
    lines += [line for path, entry in failed for line in _lines(path, entry, "failed", short)]
    if not found and counts is None:
        lines.append("The outbox is empty.")
    from maestro_cli.output import screen

    streams.say(screen.fit("\n".join(lines)))
    return 0


def _replayed(context: CommandContext) -> dict[str, int]:
    if context.is_remote:
        from maestro_clients.outbox.remote_drain import drain
        from maestro_clients.processes.broker_process import find

        broker = find(context.data, context.environ)
        return {} if broker is None else drain(context.data, broker.router, 10.0)._asdict()
    with context.client() as client:
        return client.drain_outbox()


def _document(path: str, entry: OutboxEntry) -> dict[str, Any]:
    document: dict[str, Any] = {**entry.outgoing, "from": entry.session, "queuedAt": entry.queued_at, "path": path}
    if entry.digests:
        document["attachments"] = _files(path, entry)
    if entry.failure is not None:
        document["failure"] = entry.failure
    return document


def _files(path: str, entry: OutboxEntry) -> list[dict[str, Any]]:
    """The files of an entry, with the paths of those whose contents the outbox has."""
    import os

    from maestro_runtime.outbox_dir import OutboxDir

    blobs = OutboxDir(os.path.dirname(os.path.dirname(path))).blobs
    found = []
    for file in entry.files:
        kept = blobs.file(file["sha256"])
        found.append({**file, "path": kept} if kept is not None and os.path.isfile(kept) else file)
    return found


def _lines(path: str, entry: OutboxEntry, word: str, short: ShortIds) -> list[str]:
    from maestro_cli.output.render import BAR, plain
    from maestro_clients.texts.ages import age
    from maestro_clients.texts.fence import joined, named

    text = joined(str(entry.outgoing.get("message", "")))
    preview = text if len(text) <= _PREVIEW_CHARS else text[: _PREVIEW_CHARS - 3] + "..."
    own = short.of(str(entry.outgoing["id"]))
    who = f"{own} from {entry.session} to {', '.join(map(named, entry.addresses))}"
    lines = [f"{who}, queued {age(entry.queued_at, now_ms())}, {word}", BAR + preview]
    if entry.digests:
        from maestro_clients.texts import file_lines

        kept: Any = {**entry.outgoing, "attachments": _files(path, entry)}
        lines += [f"  {line}" for line in file_lines.lines(kept)]
    if entry.failure is not None:
        lines.append(BAR + plain(f"{entry.failure.get('code', '?')}: {entry.failure.get('message', '')}"))
        lines.append(f"  file: {path}")
        lines.append(f"  to send it again: maestro message retry {own}")
    return lines
