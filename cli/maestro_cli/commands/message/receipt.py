"""`maestro message receipt`: the delivery of a message, for its sender.

Rule: each step with its time and its cause, or the reason why a step is missing; the text is not shown again. Of a
message to several, there is one line a receiver.
"""

from __future__ import annotations

from maestro_cli.addressing.message_ids import resolve
from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Annotated, Any, Literal

    from maestro_cli.options import AsOption, Option, YesOption
    from maestro_schemas.documents import MessageDoc, PersonDoc, ReceiptDoc, RecipientReceiptDoc

DETAILS = """\
`accepted`: it is on disk. `offered`: its id was shown. `delivered`: its text
was written out to the receiver, by the named command or hook. `read`: the
receiver acknowledged it. `failed`: it waited in the outbox and was refused.
Where it says so, a wake began the turn in which a hook showed it.
`answered`: the receiver sent a message that answers it. `refused`: one of
several receivers did not take it, and why.
`session send --wait delivered` waits for a step.

Examples:
  maestro message receipt k3v9
  maestro message receipt k3v9 --json"""

_STEPS = (
    ("accepted", "createdAt", None),
    ("offered", "offeredAt", "offeredVia"),
    ("delivered", "deliveredAt", "deliveredVia"),
    ("read", "readAt", None),
)

_KEPT: tuple[Literal["expiresAt", "failure", "originalTo", "wokenBy"], ...] = (
    "expiresAt",
    "failure",
    "originalTo",
    "wokenBy",
)


def run(
    message_id: Annotated[str, Option(name="ID", help="The message's id.")],
    /,
    *,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool,
        Option(name="--json", help='Print {"id", "counts", "recipients": [...], ...}; of one receiver also "steps".'),
    ] = False,
) -> int:
    """Show the receipt of a message."""
    context = CommandContext.here(speaks_as, sure=yes)
    with context.client() as client:
        receipt = client.receipt(resolve(client, message_id, sent=True), people=True)
        if _is_for_several(receipt):
            message = None
        else:
            try:
                message = client.message_with_people(receipt["id"])["message"]
            except MaestroError as error:
                if error.code != "MESSAGE_NOT_FOUND":
                    raise
                message = None  # it was deleted
    people = receipt.pop("people", {})
    if as_json:
        streams.say_json(receipt if message is None else {**_document(message), **receipt})
        return 0
    from maestro_cli.output import screen

    if message is None:
        from maestro_clients.texts import receipt_lines

        lines = [receipt_lines.head(receipt), *receipt_lines.each({**receipt, "people": people})]
        if any(line["state"] in ("refused", "expired", "failed") for line in receipt["recipients"]):
            lines.append(f"  to send it again to those: maestro message retry {receipt['id']}")
        streams.say(screen.fit("\n".join(lines)))
        return 0
    streams.say(screen.fit("\n".join(_lines(message, receipt["recipients"][0], people))))
    return 0


def _is_for_several(receipt: ReceiptDoc) -> bool:
    return "failure" not in receipt and ("audience" in receipt or len(receipt["recipients"]) > 1)


def _lines(message: MessageDoc, line: RecipientReceiptDoc, people: Mapping[str, PersonDoc]) -> list[str]:
    from maestro_cli.output.render import history
    from maestro_clients.texts.ages import moment
    from maestro_clients.texts.display_names import DisplayNames

    receiver = DisplayNames(people).label(message["to"])
    if "audience" in message:
        from maestro_clients.texts.fence import addresses

        receiver = addresses(message["audience"]["to"])
    lines = [f"{message['id']} to {receiver}: {message['status']}", *history(message, now_ms())]
    if "answerId" in line:
        at = f"  {moment(line['answeredAt'], now_ms())}" if "answeredAt" in line else " "
        lines.append(f"{at}  answered by {line['answerId']}")
    if message["status"] == "pending":
        has_ended = line.get("presence", {}).get("state") == "ended"
        waits = "has ended: it waits until that session starts again" if has_ended else "has not been shown it"
        lines.append(f"  not delivered yet: its receiver {waits}")
        if wake := line.get("presence", {}).get("wake"):
            from maestro_clients.texts.wake_words import cell, why_not

            why = why_not(wake, now_ms())
            if why:
                lines.append(f"  it is not woken: {why}")
            elif wake["state"] == "woken":
                lines.append(f"  it was {cell(wake, now_ms())}, and has not taken the mail yet")
    elif message["status"] == "delivered":
        lines.append("  not acknowledged yet")
    elif message["status"] in ("expired", "failed"):
        lines.append(f"  to send it again: maestro message retry {message['id']}")
    return lines


def _document(message: MessageDoc) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    if message["status"] == "failed":  # it was never accepted
        steps.append({"step": "failed", "at": message["createdAt"]})
    for step, at, via in () if steps else _STEPS:
        if at in message:
            found: dict[str, Any] = {"step": step, "at": message[at]}  # type: ignore[literal-required]
            if via is not None and via in message:
                found["via"] = message[via]  # type: ignore[literal-required]
            steps.append(found)
    kept: dict[str, Any] = {key: message[key] for key in _KEPT if key in message}
    return {"id": message["id"], "to": message["to"], "status": message["status"], "steps": steps, **kept}
