"""`maestro message receipt`: the delivery of a message, for its sender.

Rule: each step with its time and its cause, or the reason why a step is missing; the text is not shown again.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import AsOption, Option, YesOption
    from maestro_schemas.documents import MessageDoc

DETAILS = """\
`accepted`: it is on disk. `offered`: its id was shown. `delivered`: its text
was written out to the receiver, by the named command or hook. `read`: the
receiver acknowledged it. `failed`: it waited in the outbox and was refused.
`session send --wait delivered` waits for a step.

Examples:
  maestro message receipt msg_1770536761607_k3v9x2m1a
  maestro message receipt msg_1770536761607_k3v9x2m1a --json"""

_STEPS = (
    ("accepted", "createdAt", None),
    ("offered", "offeredAt", "offeredVia"),
    ("delivered", "deliveredAt", "deliveredVia"),
    ("read", "readAt", None),
)


def run(
    message_id: Annotated[str, Option(name="ID", help="The message's id.")],
    /,
    *,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"id", "status", "steps": [{"step", "at", "via"?}], ...}.')
    ] = False,
) -> int:
    """Show the receipt of a message."""
    context = CommandContext.here(speaks_as, sure=yes)
    with context.client() as client:
        found = client.message_with_people(message_id)
        message = found["message"]
        if as_json:
            streams.say_json(_document(message))
            return 0
        has_ended = message["status"] == "pending" and "completedAt" in client.session(message["to"])
    from maestro_cli.output.display_names import DisplayNames
    from maestro_cli.output.render import history

    receiver = DisplayNames(found.get("people", {})).label(message["to"])
    lines = [f"{message['id']} to {receiver}: {message['status']}", *history(message, now_ms())]
    if message["status"] == "pending":
        waits = "has ended: it waits until that session starts again" if has_ended else "has not been shown it"
        lines.append(f"  not delivered yet: its receiver {waits}")
    elif message["status"] == "delivered":
        lines.append("  not acknowledged yet")
    elif message["status"] in ("expired", "failed"):
        lines.append(f"  to send it again: maestro message retry {message['id']}")
    streams.say("\n".join(lines))
    return 0


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
    kept: dict[str, Any] = {key: message[key] for key in ("expiresAt", "failure", "originalTo") if key in message}
    return {"id": message["id"], "to": message["to"], "status": message["status"], "steps": steps, **kept}
