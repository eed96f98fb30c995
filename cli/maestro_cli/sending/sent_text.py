"""Sent text: what is reported about a message that the broker has accepted.

Rule: one home of these words and of their JSON. It is on the fast path, so it imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_REACHES = {
    "watching": "Its receiver is watching, and hears of it now.",
    "tool": "Its agent is at work, and sees it after its next tool call.",
    # Not "it is idle": an agent that gets no mail does not report its work.
    "prompt": "Its agent sees it at its next prompt or tool call.",
    "inbox": "Its receiver sees it when it looks into its inbox.",
    "ended": "Its receiver has ended: it is queued for when it comes back (the same id, started again).",
}
# A sign of life that is older than this is mentioned.
_QUIET_MS = 300_000


def outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a send: `status` is `accepted` (or `queued`); `duplicate` where this send was accepted before."""
    found: dict[str, Any] = {**result, "status": "accepted"}
    if result["status"] == 200:
        found["duplicate"] = True
    return found


def sentence(outcome: Mapping[str, Any]) -> str:
    """The same in words."""
    where = f"{outcome['id']} to {outcome['to']}" if "to" in outcome else outcome["id"]
    number = f" (number {outcome['seq']} in its inbox)" if "seq" in outcome else ""
    if "originalTo" in outcome:
        number += f", because {outcome['originalTo']} had ended"
    retried = outcome.get("retryOf")
    if outcome.get("duplicate"):
        first = "Sent before:" if retried is None else f"{retried} was retried before, as"
        return f"{first} {where}{number}; it is {outcome.get('state', 'on disk')} now."
    again = "" if retried is None else f"again, {retried} as "
    return f"Sent {again}{where}{number}. It is on disk. {_expectation(outcome)}".rstrip()


def _expectation(outcome: Mapping[str, Any]) -> str:
    expectation = _REACHES.get(outcome.get("reach", ""), "")
    seen_at = outcome.get("seenAt")
    # An agent gives a sign of life only when it gets mail, so a long silence proves nothing.
    if seen_at is None or outcome.get("reach") != "inbox":
        return expectation
    import time

    now_ms = time.time_ns() // 1_000_000
    if now_ms - seen_at >= _QUIET_MS:
        from maestro_cli.output.render import age

        expectation += f" It gave its last sign of life {age(seen_at, now_ms)}."
    return expectation
