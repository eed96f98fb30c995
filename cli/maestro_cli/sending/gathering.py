"""Gathering: a wait for what each of several receivers does with a message.

Rule: an answer is printed when it comes, and confirmed after that; what was not printed stays in the inbox. A
receiver that is gone is waited for like any other, and named at the end: it may come back, and its mail waits for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from maestro_cli.output import fan_out_lines, streams
from maestro_schemas.errors import MaestroError

from . import send_flow

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_clients.client import Client
    from maestro_schemas.documents import MessageDoc, ReceiptDoc

_VIA = "wait-reply"
_ERROR_STATUS = 400


def reached(
    context: CommandContext, client: Client, outcome: dict[str, Any], status: str, timeout_s: float, *, as_json: bool
) -> int:
    """Wait until all receivers that accepted the message have come to the status; returns the exit code of the send.
    Raises MaestroError TIMEOUT or STATUS_CONFLICT."""
    from maestro_clients.mailbox.receipts import wait_for_all

    receipt = wait_for_all(
        context.data, context.environ, context.caller, outcome["id"], status, timeout_s, client=client
    )
    if as_json:
        streams.say_json({**outcome, "receipt": receipt})
    else:
        streams.tell(_reached(receipt, status))
    return send_flow.code(outcome)


def answers(
    context: CommandContext,
    client: Client,
    outcome: dict[str, Any],
    since: int,
    timeout_s: float,
    count: int | None,
    *,
    as_json: bool,
) -> int:
    """Wait for `count` answers, or for one of each receiver, and print them; returns the exit code of the send.
    `since`: the last number in the sender's own mailbox before the send. Raises MaestroError TIMEOUT."""
    return _Answers(context, client, outcome, timeout_s, count, as_json=as_json).gather(since)


def shown(context: CommandContext, client: Client, message: MessageDoc) -> str:
    """An answer as it is printed."""
    from maestro_cli.context import now_ms
    from maestro_cli.output import screen
    from maestro_cli.output.render import message_block
    from maestro_clients.texts.display_names import DisplayNames
    from maestro_clients.texts.short_ids import of_messages

    try:
        people = client.message_with_people(message["id"]).get("people", {})
    except MaestroError as error:
        if error.kind != "unreachable":
            raise
        people = {}  # the broker restarts; the answer is here, and only the names are not
    context.locate([message], client)
    return screen.fit(message_block(message, DisplayNames(people), now_ms(), of_messages([message])))


def _reached(receipt: ReceiptDoc, status: str) -> str:
    from maestro_clients.texts import receipt_lines

    at = "readAt" if status == "read" else "deliveredAt"
    times = [line[at] for line in receipt["recipients"] if at in line]  # type: ignore[literal-required]
    after = ""
    if times and "createdAt" in receipt:
        from maestro_cli.output.render import duration

        after = f", the last {duration(max(max(times) - receipt['createdAt'], 0))} after it was accepted"
    return "\n".join(
        [f"{status.capitalize()} by all {receipt['counts']['accepted']}{after}.", *receipt_lines.each(receipt)]
    )


class _Answers:
    """The answers to one message, the first of each receiver."""

    def __init__(
        self,
        context: CommandContext,
        client: Client,
        outcome: dict[str, Any],
        timeout_s: float,
        count: int | None,
        *,
        as_json: bool,
    ) -> None:
        self._context = context
        self._client = client
        self._outcome = outcome
        self._timeout_s = timeout_s
        self._as_json = as_json
        self._names = {
            each["to"]: fan_out_lines.label(each["to"], each.get("name"))
            for each in outcome["recipients"]
            if each["status"] < _ERROR_STATUS
        }
        self._wanted = len(self._names) if count is None else min(count, len(self._names))
        self._found: list[MessageDoc] = []
        # Printed, and not confirmed yet.
        self._unconfirmed: list[str] = []

    def gather(self, since: int) -> int:
        """Wait, and print each answer as it comes. Raises MaestroError TIMEOUT."""
        from maestro_clients.mailbox.watcher import Watcher

        deadline_s = time.monotonic() + self._timeout_s
        context = self._context
        with Watcher(
            context.data, context.environ, context.caller, confirm=False, since=since, client=self._client
        ) as watcher:
            while len(self._found) < self._wanted and (left_s := deadline_s - time.monotonic()) > 0:
                message = watcher.next_message(left_s)
                if message is not None:
                    self._take(message)
        if len(self._found) < self._wanted:
            raise self._late()
        if self._as_json:
            streams.say_json({**self._outcome, "replies": self._found, "missing": self._missing()})
        elif missing := [self._names[each] for each in self._missing()]:
            streams.tell(
                f"{len(self._found)} of {len(self._names)} answered; not yet: {fan_out_lines.names(missing)}"
            )
        else:
            streams.tell(f"All {len(self._names)} answered.")
        self._confirm()
        return send_flow.code(self._outcome)

    def _take(self, message: MessageDoc) -> None:
        answers = message.get("metadata", {}).get("inReplyTo") == self._outcome["id"]
        if not answers or message["from"] not in self._missing():
            return
        if not self._as_json:
            streams.say(shown(self._context, self._client, message))
        else:
            self._context.locate([message], self._client)
        self._found.append(message)
        self._unconfirmed.append(message["id"])
        if not self._as_json:
            self._confirm()

    def _confirm(self) -> None:
        """The answers are printed: the inbox need not show them again. If the broker is away, it does."""
        if not self._unconfirmed:
            return
        try:
            self._client.confirm(self._unconfirmed, "delivered", via=_VIA)
        except MaestroError as error:
            if error.kind not in ("unreachable", "busy"):
                raise
        else:
            self._unconfirmed = []

    def _missing(self) -> list[str]:
        answered = {message["from"] for message in self._found}
        return [receiver for receiver in self._names if receiver not in answered]

    def _late(self) -> MaestroError:
        from maestro_clients.mailbox.receipts import missing_receiver

        missing = self._missing()
        details: dict[str, Any] = {"missing": missing}
        if self._as_json:
            details["replies"] = self._found
        try:
            receipt = self._client.receipt(self._outcome["id"], people=True)
            lines = {line["to"]: line for line in receipt["recipients"]}
            shown = [
                missing_receiver(lines[each], receipt) if each in lines else self._names[each] for each in missing
            ]
        except MaestroError:
            shown = [self._names[each] for each in missing]
        return MaestroError(
            "TIMEOUT",
            f"{self._outcome['id']} was answered by {len(self._found)} of {len(self._names)} within "
            f"{self._timeout_s:g} s; missing: {', '.join(shown)}",
            f"Their answers will come to your inbox. The message's own state: maestro message receipt "
            f"{self._outcome['id']}",
            details=details,
        )
