"""Log lines: a message as a line that says who wrote to whom, with its text behind a bar.

Rule: sessions are shown by their names, and by their ids where two have the same one. What a sender chose is shown as
`output.fence` says.
"""

from __future__ import annotations

from maestro_cli.output.render import BAR, emphasized
from maestro_cli.output.styles import styled
from maestro_cli.output.wrapping import fitted, is_unicode
from maestro_clients.texts import file_lines
from maestro_clients.texts.ages import moment
from maestro_clients.texts.fence import behind, data_line, message_fields, named, removal
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER
from maestro_schemas.texts.visible_text import is_token

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_clients.texts.short_ids import ShortIds
    from maestro_schemas.documents import PersonDoc, SaidMessageDoc

# How many receivers a line names.
_NAMED_MAX = 3
_STATES = ("read", "delivered", "pending", "expired", "deleted", "refused")


class SessionNames:
    """What is shown for a session, from the `people` of the replies."""

    def __init__(self) -> None:
        self._people: dict[str, PersonDoc] = {}
        self._ids: dict[str, set[str]] = {}

    def learn(self, people: Mapping[str, PersonDoc]) -> None:
        """Take in the `people` of one reply."""
        self._people |= people
        for session_id, person in people.items():
            self._ids.setdefault(person.get("name", session_id), set()).add(session_id)

    def short(self, session_id: str) -> str:
        """The name; the name and the id where another session in the log has the same name; or the id alone."""
        name = self._people.get(session_id, {"role": ""}).get("name")
        if name is None or not is_token(name):
            return named(session_id)
        return name if len(self._ids.get(name, ())) < 2 else f"{name} ({session_id})"

    def unfit_name(self, session_id: str) -> str | None:
        """A name that is no token, so that no line of ours has it; None where there is no such name."""
        name = self._people.get(session_id, {"role": ""}).get("name")
        return name if name and not is_token(name) else None


def block(
    said: SaidMessageDoc, names: SessionNames, now_ms: int, width: int | None = None, short: ShortIds | None = None
) -> str:
    """One message: `14:02:11  ann → @workers (7)  msg_17…  request, 3 of 7 read`, its text, and what it answers.
    `width`: of the terminal; None for no bound. `short`: the forms of ids that a person types."""
    message = said["message"]
    metadata = message.get("metadata") or {}
    words, chosen = message_fields(message, names.unfit_name(message["from"]))
    words += [word for key, word in _ASKED if metadata.get(key)]
    woken = [f"woken by {named(message['wokenBy'])}"] if "wokenBy" in message else []
    arrow, hook = ("→", "↳ reply to") if is_unicode() else ("->", "reply to")
    sender = "the post office" if message["from"] == SYSTEM_SENDER else names.short(message["from"])
    first = f"{moment(message['createdAt'], now_ms)}  {sender} {arrow} {_receivers(said, names)}"
    about = ", ".join([*emphasized(words), _state(said), *woken])
    lines = [f"{styled(first, 'bold')}  {shown_id(message['id'], short)}  {about}"]
    if "inReplyTo" in metadata:
        lines.append(f"  {hook} {named(shown_id(metadata['inReplyTo'], short))}")
    if "originalTo" in message:
        lines.append(f"  for {names.short(message['originalTo'])}, who had ended")
    if "failure" in message:
        lines.append(f"  it was refused: {named(message['failure']['code'])}")
    lines += [BAR + line for line in chosen]
    lines += behind(BAR, message["message"])
    lines += [BAR + line for line in data_line(message)]
    if taken_out := removal(message):
        lines.append(f"  {taken_out}")
    lines += [f"  {line}" for line in file_lines.lines(message)]
    return "\n".join(fitted(lines, width))


def shown_id(message_id: str, short: ShortIds | None) -> str:
    """The id, or its form that a person types."""
    return message_id if short is None else short.of(message_id)


_ASKED = (("requiresAck", "ack wanted"), ("requiresResponse", "answer wanted"))


def _receivers(said: SaidMessageDoc, names: SessionNames) -> str:
    message = said["message"]
    audience, known = message.get("audience"), said.get("receivers") or [message["to"]]
    if message["status"] == "failed":
        return ", ".join(map(named, audience["to"])) if audience is not None else named(message["to"])
    if audience is not None and any(address.startswith(AUDIENCE_SIGIL) for address in audience["to"]):
        return f"{', '.join(map(named, audience['to']))} ({audience['size']})"
    size = max(len(known), audience["size"] if audience is not None else 1)
    shown = ", ".join(map(names.short, known[:_NAMED_MAX]))
    more = size - len(known[:_NAMED_MAX])
    return f"{shown} and {more} more" if more else shown


def _state(said: SaidMessageDoc) -> str:
    counts = said.get("counts")
    if counts is None:
        return said["message"]["status"]
    total = sum(counts.values())
    found = [f"{counts[state]} {state}" for state in _STATES if state in counts]
    # The furthest state says of how many: `3 of 7 read, 2 delivered`.
    number, _, state = found[0].partition(" ")
    return ", ".join([f"{number} of {total} {state}", *found[1:]])


def flat(said: SaidMessageDoc) -> dict[str, object]:
    """An entry as one JSON object: the Message, with what the entry has beside it."""
    return {**said["message"], **{key: value for key, value in said.items() if key != "message"}}
