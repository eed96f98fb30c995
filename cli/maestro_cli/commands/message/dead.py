"""`maestro message dead`: the dead letters: messages that were sent and never delivered.

Rule: the broker lists those that expired and those that were refused for good. This machine's outbox has the entries
that are no message of their session. All make one list, the newest first, each with its reason and its time. It
changes nothing.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import COUNTS, AsOption, Option, YesOption
    from maestro_clients.texts.short_ids import ShortIds
    from maestro_schemas.documents import MessageDoc
    from maestro_schemas.outbox_entry import OutboxEntry

DETAILS = """\
Messages of this session that expired before they were delivered, or that waited
in the outbox and were then refused by the broker. A shell without
a session sees those of all sessions. A message that was refused at once was
reported at once, and is not listed. Messages are removed after the retention.

Examples:
  maestro message dead
  maestro message dead --limit 100 --json
  maestro message retry k3v9"""

_DEFAULT_COUNT = 20
_PREVIEW_CHARS = 60


def run(
    *,
    session: Annotated[
        str | None, Option(metavar="SESSION", help="Only messages of this session; for the operator.")
    ] = None,
    limit: Annotated[
        int, Option(numbers=COUNTS, metavar="N", help=f"List at most N. Default: {_DEFAULT_COUNT}.")
    ] = _DEFAULT_COUNT,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"letters": [...], "count", "hasMore"} as JSON.')
    ] = False,
) -> int:
    """List the dead letters."""
    from maestro_clients import dead_letters

    context = CommandContext.here(speaks_as, sure=yes)
    with context.client() as client:
        sender = context.caller.session or None
        if session is not None:
            sender = client.session(session)["id"]
        messages, has_more = dead_letters.listed(client, sender, limit)
        entries = dead_letters.refused(context.data, sender)
        letters = [_dead(copies) for copies in messages] + [_refused(path, entry) for path, entry in entries]
        letters.sort(key=lambda letter: letter["diedAt"], reverse=True)
        has_more = has_more or len(letters) > limit
        letters = letters[:limit]
        for letter in letters:
            retried = dead_letters.retried_as(client, letter["id"], letter.pop("base"))
            if retried is not None:
                letter["retriedAs"] = retried
    if as_json:
        streams.say_json({"letters": letters, "count": len(letters), "hasMore": has_more})
        return 0
    if not letters:
        streams.tell("No dead letters.")
        return 0
    from maestro_clients.texts.short_ids import ShortIds

    short = ShortIds(letter[key] for letter in letters for key in ("id", "retriedAs") if key in letter)
    lines = [line for letter in letters for line in _lines(letter, short)]
    again = next((short.of(letter["id"]) for letter in letters if "retriedAs" not in letter), None)
    if again is not None:
        lines.append(f"To send one again: maestro message retry {again}")
    if has_more:
        lines.append(f"There are more: --limit {limit * 5}")
    from maestro_cli.output import screen

    streams.say(screen.fit("\n".join(lines)))
    return 0


def _dead(copies: list[MessageDoc]) -> dict[str, Any]:
    """A dead message; one to several has `receivers`, those for which it expired."""
    from maestro_clients.dead_letters import base_ms, died_at

    message = copies[0]
    why = message.get("failure", {"code": "EXPIRED", "message": "it was not delivered in time"})
    letter = {**message, "diedAt": died_at(message), "failure": why, "base": base_ms(message)}
    if "audience" in message and message["status"] != "failed":
        letter["receivers"] = [copy["to"] for copy in copies]
    return letter


def _refused(path: str, entry: OutboxEntry) -> dict[str, Any]:
    """`diedAt`: when it was queued, because the time of the refusal is not recorded."""
    return {
        **entry.outgoing,
        "from": entry.session,
        "status": "failed",
        "diedAt": entry.queued_at,
        "base": entry.queued_at,
        "failure": entry.failure,
        "path": path,
    }


def _lines(letter: dict[str, Any], short: ShortIds) -> list[str]:
    from maestro_cli.output.render import BAR, plain
    from maestro_clients.texts.ages import age
    from maestro_clients.texts.fence import joined

    text = joined(str(letter["message"]))
    preview = text if len(text) <= _PREVIEW_CHARS else text[: _PREVIEW_CHARS - 3] + "..."
    failure = letter["failure"]
    when = "queued" if "path" in letter else "refused" if letter["status"] == "failed" else "expired"
    head = f"{short.of(letter['id'])} from {letter['from']} to {_receivers(letter)}"
    head += f", {when} {age(letter['diedAt'], now_ms())}"
    why = f"{failure.get('code', '?')}: {failure.get('message', '')}"
    # The reason of a refused entry is read from its file, which any program of the user can write.
    lines = [head, f"{BAR if 'path' in letter else '  '}{plain(why)}", BAR + preview]
    if "retriedAs" in letter:
        lines.append(f"  was retried as {short.of(letter['retriedAs'])}")
    return lines


def _receivers(letter: dict[str, Any]) -> str:
    """To whom it was sent; of a message to several, for how many of them it expired."""
    from maestro_cli.output import fan_out_lines
    from maestro_clients.texts.fence import addresses

    if "audience" not in letter:
        return addresses(letter["to"])
    to = addresses(letter["audience"]["to"])
    if "receivers" not in letter:
        return to
    found = letter["receivers"]
    return f"{len(found)} of {letter['audience']['size']} ({to}): {fan_out_lines.names(found)}"
