"""Dry run: who would get a message and when, in the words of a send.

Rule: nothing is sent or queued, and no rate is counted. The broker answers by the rules of `send`, so a wrong address
and a forbidden role are the same errors with the same exit codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_cli import exit_codes
from maestro_cli.context import now_ms
from maestro_cli.output import fan_out_lines, streams
from maestro_clients.texts import presence_words
from maestro_clients.texts.fence import addresses, named
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_schemas.documents import MetadataDoc, PreviewDoc

_CONFIRM = "  An audience comes to many sessions: the send needs --yes."


def show(
    context: CommandContext,
    to: str | list[str],
    metadata: MetadataDoc,
    on_ended: str | None,
    *,
    is_confirmed: bool,
    as_json: bool,
) -> int:
    """Print who would get it; returns the exit code that the send would have. Raises MaestroError as a send, for
    receivers that all refuse the first refusal."""
    with context.client() as client:
        found = client.preview(to, metadata=metadata, on_ended=on_ended)
    recipients = found["recipients"]
    if not found["accepted"] and recipients:
        raise MaestroError.from_body(recipients[0].get("error"))
    if as_json:
        streams.say_json({"status": "preview", **found})
    else:
        streams.tell(_words(found, metadata, is_confirmed=is_confirmed))
    return exit_codes.PARTLY if found["refused"] else exit_codes.DONE


def _words(found: PreviewDoc, metadata: MetadataDoc, *, is_confirmed: bool) -> str:
    recipients, now = found["recipients"], now_ms()
    if "audience" not in found:
        [receiver] = recipients
        expected = presence_words.expectation(receiver, now, metadata)
        instead = f", because {receiver['originalTo']} has ended" if "originalTo" in receiver else ""
        to = named(receiver.get("name") or receiver["to"])
        return f"Nothing was sent. It would go to {to}{instead}. {expected}".rstrip()
    count = found["accepted"] + found["refused"]
    whom = f"{found['accepted']} of {count}" if found["refused"] else f"{count} session{'' if count == 1 else 's'}"
    lines = [f"Nothing was sent. It would go to {whom} ({addresses(found['audience']['to'])})."]
    lines += fan_out_lines.groups(recipients, now)
    note = fan_out_lines.quiet_note(found, metadata)
    if note:
        lines.append(note)
    if found.get("confirm") and not is_confirmed:
        lines.append(_CONFIRM)
    return "\n".join(lines)
