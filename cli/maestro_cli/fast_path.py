"""Quick: the two commands that agents start all day, without the parser and without libzmq.

Rule: it answers exactly as the usual way would, or not at all. What it does not know to the letter (an option, a
shape, a variable, an answer) it gives to the usual way, which parses, starts a broker, waits, queues and explains; a
message keeps its id on the way, so that it is sent once. Mail is shown by the same function as there. Imports only
what a bare interpreter has, and a little of ours. MAESTRO_QUICK=0 turns it off.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from maestro_clients.channel import one_shot

    from .inbox.page import Marking

_SESSION, _TOKEN, _QUICK, _BROKER = (
    "MAESTRO_SESSION_ID",
    "MAESTRO_SESSION_TOKEN",
    "MAESTRO_QUICK",
    "MAESTRO_BROKER",
)
_OFF = frozenset({"0", "false", "no", "off"})
_INBOX_SWITCHES = {"--quiet": "quiet", "-q": "quiet", "--json": "json", "--mark-read": "mark_read"}
_SEND_OPTIONS = {"--to": "to", "-t": "to", "--message": "message", "-m": "message", "--priority": "priority"}
_PRIORITIES = frozenset({"low", "medium", "high"})
# The broker's refusals after which the same request may be taken; the usual way repeats it (`retry_policy`).
_NOT_NOW = frozenset({"BUSY", "STOPPING", "STORAGE_FULL"})


class NotFastError(Exception):
    """`tokens`: the command line for the usual way."""

    def __init__(self, tokens: list[str]) -> None:
        super().__init__()
        self.tokens = tokens


def run(tokens: list[str]) -> int:
    """Do it; the exit code. Raises NotMine, MaestroError for a message that the broker refused, and as
    `output.say`."""
    environ = os.environ
    if not environ.get(_SESSION) or environ.get(_BROKER) or environ.get(_QUICK, "1").strip().lower() in _OFF:
        raise NotFastError(tokens)
    if tokens[:1] == ["inbox"]:
        return _inbox(tokens, environ)
    if tokens[:1] == ["send"]:
        return _send(tokens, tokens[1:], environ)
    if tokens[:2] == ["session", "send"]:
        return _send(tokens, tokens[2:], environ)
    raise NotFastError(tokens)


def _inbox(tokens: list[str], environ: Mapping[str, str]) -> int:
    """Whether there is mail is asked first, by a read without a lease, which changes nothing and sees also what other
    readers hold: mostly there is none, and then nothing more has to be imported.

    Not of the marker `.pending`, which says whether mail was not yet offered: what a hook offered and nobody
    displayed is pending all the same, and without a broker, or for a session that has ended, the answer is another.
    """
    given = [_INBOX_SWITCHES.get(token) for token in tokens[1:]]
    if None in given or len(set(given)) != len(given):
        raise NotFastError(tokens)
    from maestro_clients.channel import one_shot

    exchange = one_shot.OneShotConnection(_router(tokens, environ))
    try:
        speaker = _speaker(environ)
        found = exchange.ask(b"inbox", {"as": speaker, "status": ["pending"], "limit": 1})
        if found is None or found[0] != 200 or not isinstance(found[1].get("messages"), list):
            raise NotFastError(tokens)
        if found[1]["messages"]:
            return _show(exchange, speaker, environ, given)
        if found[1].get("hasMore") is not False:
            raise NotFastError(tokens)
    finally:
        exchange.close()
    if "quiet" not in given:
        from .output import streams

        streams.say('{"messages": [], "count": 0, "hasMore": false}' if "json" in given else "No new messages.")
    return 0


def _show(
    exchange: one_shot.OneShotConnection, speaker: dict[str, str], environ: Mapping[str, str], given: list[str | None]
) -> int:
    from maestro_clients.one_shot_client import OneShotClient

    from .inbox import listing
    from .inbox.page import DELIVERED, READ

    client = OneShotClient(exchange, speaker)
    try:
        marking: Marking = READ if "mark_read" in given else DELIVERED
        return listing.show(client, environ, marking, quiet="quiet" in given, as_json="json" in given)
    finally:
        client.close()


def _send(tokens: list[str], arguments: list[str], environ: Mapping[str, str]) -> int:
    options = _options(arguments)
    if options is None:
        raise NotFastError(tokens)
    from maestro_clients.protocol.new_ids import new_message_id

    message_id = new_message_id()
    outgoing: dict[str, Any] = {"id": message_id, "to": options["to"], "message": options["message"]}
    if options.get("priority", "medium") != "medium":
        outgoing["metadata"] = {"priority": options["priority"]}
    # From here on the message has its id, whoever sends it.
    again = [*tokens, "--id", message_id]
    status, answer = _ask(again, environ, b"send", {"messages": [outgoing]})
    results = [answer] if status >= 400 else answer.get("results")
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        raise NotFastError(again)
    refusal = answer if status >= 400 else results[0].get("error")
    if refusal is not None:
        from maestro_schemas.errors import MaestroError

        error = MaestroError.from_body(refusal)
        if error.code in _NOT_NOW:
            raise NotFastError(again)
        raise error
    from .output import streams
    from .sending import sent_text

    streams.say(sent_text.sentence(sent_text.outcome(results[0])))
    return 0


def _options(arguments: list[str]) -> dict[str, str] | None:
    """Every option once, by name, and none that is not known; None for everything else."""
    options: dict[str, str] = {}
    if len(arguments) % 2:
        return None
    for word, value in zip(arguments[::2], arguments[1::2], strict=True):
        name = _SEND_OPTIONS.get(word)
        if name is None or name in options:
            return None
        options[name] = value
    to, priority = options.get("to", ""), options.get("priority", "medium")
    plain = to.isascii() and to.replace("_", "a").replace("-", "a").isalnum() and to[0] != "-"
    return options if plain and options.get("message") and priority in _PRIORITIES else None


def _ask(
    tokens: list[str], environ: Mapping[str, str], command: bytes, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Raises NotMine with `tokens` where there was no answer."""
    from maestro_clients.channel import one_shot

    answer = one_shot.ask(_router(tokens, environ), command, {"as": _speaker(environ), **body})
    if answer is None:
        raise NotFastError(tokens)
    return answer


def _speaker(environ: Mapping[str, str]) -> dict[str, str]:
    speaker = {"session": environ[_SESSION]}
    if environ.get(_TOKEN):
        speaker["token"] = environ[_TOKEN]
    return speaker


def _router(tokens: list[str], environ: Mapping[str, str]) -> str:
    """Raises NotMine with `tokens` where no broker of this machine is named."""
    from maestro_clients.channel import one_shot
    from maestro_runtime import paths

    path = one_shot.router_path(paths.data_dir(environ))
    if path is None:
        raise NotFastError(tokens)
    return path
