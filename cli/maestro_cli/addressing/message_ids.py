"""Message ids: what a person types for one, and the id that it means.

Rule: a whole id is taken as it is, and costs no request. The beginning of an id, or of its own part, means the one
message of the caller's mail whose id begins so. `last` is the newest message; for an answer, the newest that was
shown to the caller, so that no one answers a message before reading it.
"""

from __future__ import annotations

from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import LAST_ADDRESS, OPERATOR, id_begins, needs_look_up, own_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import MessageDoc, PersonDoc

# A page looks at some thousand lines of the timeline: more than 1,000 messages and what became of them.
_PAGES_MAX = 8
_NAMED_MAX = 5
_DEAD_LOOKED_AT = 1_000
# Among how many of the newest messages the last one that was shown is looked for.
_LAST_OF = 50
_SHOWN = ("delivered", "read")


def resolve(client: AnyClient, text: str, *, for_reply: bool = False, sent: bool = False) -> str:
    """The id that a text means: a whole id, the beginning of one, or `last`.

    `for_reply`: `last` is the newest message that was shown to the caller; a newer one that waits is noted. `sent`:
    `last` is the newest that the caller sent. A beginning that no message has is returned as it is: the command that
    gets it says what is wrong. Raises MaestroError AMBIGUOUS_ID, MESSAGE_NOT_FOUND.
    """
    if text == LAST_ADDRESS:
        if for_reply:
            return _last_shown(client)
        return _last(client, sent=sent)
    if not needs_look_up(text):
        return text
    found, people, own = _beginning_with(client, text)
    # A key that the caller chose means the caller's own message: no sender can take that away by the same beginning.
    named = [each for each in found if each["from"] == own and own_part(each["id"]) == text]
    if len(found) > 1 and len(named) != 1:
        raise _ambiguous(text, found, people)
    return (named or found)[0]["id"] if found else text


def resolved(context: CommandContext, text: str, *, for_reply: bool = False) -> str:
    """As `resolve`, for a command that has no connection yet: for a whole id none is opened."""
    if text != LAST_ADDRESS and not needs_look_up(text):
        return text
    with context.client() as client:
        return resolve(client, text, for_reply=for_reply)


def resolve_all(client: AnyClient, texts: Iterable[str], *, for_reply: bool = False) -> list[str]:
    """The ids that several texts mean, each once. Raises as `resolve`."""
    return list(dict.fromkeys(resolve(client, text, for_reply=for_reply) for text in texts))


def resolve_dead(client: AnyClient, data: str, sender: str, text: str) -> str:
    """As `resolve`, for a message to send again: one that the sender's dead letters list, also from this machine's
    outbox. `last` is the newest of them."""
    from maestro_clients import dead_letters

    if text != LAST_ADDRESS and not needs_look_up(text):
        return text
    count = 1 if text == LAST_ADDRESS else _DEAD_LOOKED_AT
    listed = [copies[0] for copies in dead_letters.listed(client, sender, count)[0]]
    dated = [(dead_letters.died_at(message), message["id"]) for message in listed]
    dated += [(entry.queued_at, str(entry.outgoing["id"])) for _, entry in dead_letters.refused(data, sender)]
    if text == LAST_ADDRESS:
        if not dated:
            raise MaestroError("MESSAGE_NOT_FOUND", "there is no last one: no dead letters", "maestro message dead")
        return max(dated)[1]
    # Every other message gets its own refusal, by its whole id.
    found = [message_id for _, message_id in dated if id_begins(message_id, text)]
    return found[0] if len(found) == 1 else resolve(client, text)


def _beginning_with(client: AnyClient, text: str) -> tuple[list[MessageDoc], Mapping[str, PersonDoc], str]:
    """The newest messages of the caller's mail with that beginning, more than are named in an error at the most; the
    people in them; and the caller."""
    found: list[MessageDoc] = []
    people: dict[str, PersonDoc] = {}
    before, own = None, OPERATOR
    for _ in range(_PAGES_MAX):
        page = client.messages(before=before, limit=_NAMED_MAX + 1, id_prefix=text)
        found += [said["message"] for said in page["messages"][::-1]]
        people |= page["people"]
        before, own = page["before"], page.get("session", OPERATOR)
        if not page["hasMore"] or len(found) > _NAMED_MAX:
            break
    return found, people, own


def _ambiguous(text: str, found: Sequence[MessageDoc], people: Mapping[str, PersonDoc]) -> MaestroError:
    import time

    from maestro_clients.texts.ages import age

    now_ms = time.time_ns() // 1_000_000
    short = ShortIds(each["id"] for each in found)
    said = [
        f"{short.of(each['id'])} ({_name(each['from'], people)}, {age(each['createdAt'], now_ms)})"
        for each in found[:_NAMED_MAX]
    ]
    more = " and more" if len(found) > _NAMED_MAX else ""
    count = f"{len(found)}" if not more else f"more than {_NAMED_MAX}"
    return MaestroError(
        "AMBIGUOUS_ID",
        f"{text!r} begins the ids of {count} messages: {', '.join(said)}{more}",
        "Give more of the id.",
        details={"ids": [each["id"] for each in found[:_NAMED_MAX]]},
    )


def _last(client: AnyClient, *, sent: bool) -> str:
    page = client.messages(box="out" if sent else "in", limit=1)
    while not page["messages"] and page["hasMore"]:
        page = client.messages(box="out" if sent else "in", limit=1, before=page["before"])
    if not page["messages"]:
        what = "you have sent no message" if sent else "no message has come to you"
        raise MaestroError(
            "MESSAGE_NOT_FOUND", f"there is no last one: {what} yet", "`maestro log` shows what was said."
        )
    return page["messages"][0]["message"]["id"]


def _last_shown(client: AnyClient) -> str:
    page = client.messages(box="in", limit=_LAST_OF)
    said, people = page["messages"], dict(page["people"])
    while len(said) < _LAST_OF and page["hasMore"]:
        page = client.messages(box="in", limit=_LAST_OF - len(said), before=page["before"])
        said, people = page["messages"] + said, people | page["people"]
    messages = [each["message"] for each in said]
    # A page of an inbox is shown at one moment: of those, the newest.
    shown = [(each["deliveredAt"], index) for index, each in enumerate(messages) if each["status"] in _SHOWN]
    if not shown:
        waiting = sum(each["status"] == "pending" for each in messages)
        raise MaestroError(
            "MESSAGE_NOT_FOUND",
            "there is no last one to answer: no message was shown to you yet"
            + (f", and {waiting} wait{'s' if waiting == 1 else ''}" if waiting else ""),
            "`maestro inbox` shows what waits, and `maestro log` what was said.",
        )
    last = max(shown)[1]
    newer = [each for each in messages[last + 1 :] if each["status"] == "pending"]
    if newer:
        from maestro_cli.output import streams

        names = ", ".join(dict.fromkeys(_name(each["from"], people) for each in newer))
        count = "a newer message waits" if len(newer) == 1 else f"{len(newer)} newer messages wait"
        streams.note(f"maestro: {count}, from {names}, and this is no answer to it: maestro inbox")
    return messages[last]["id"]


def _name(session: str, people: Mapping[str, PersonDoc]) -> str:
    from maestro_clients.texts.fence import named
    from maestro_schemas.names import SYSTEM_SENDER

    if session == SYSTEM_SENDER:
        return "the post office"
    person = people.get(session)
    return named(session if person is None else person.get("name", session))
