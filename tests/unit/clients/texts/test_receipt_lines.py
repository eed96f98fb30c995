"""What a receipt says: its counts first, then each receiver with its last step."""

from __future__ import annotations

from typing import Any, cast

from maestro_clients.texts import receipt_lines
from maestro_schemas.documents import ReceiptDoc

NOW_MS = 100_000_000
NONE = {
    "accepted": 0, "offered": 0, "delivered": 0, "read": 0, "answered": 0, "expired": 0, "deleted": 0, "refused": 0
}  # fmt: skip


def receipt(*lines: dict[str, Any], **more: Any) -> ReceiptDoc:
    return cast("ReceiptDoc", {"id": "msg_1", "from": "lead", "counts": NONE, "recipients": list(lines), **more})


def test_the_head_counts() -> None:
    counts = {**NONE, "accepted": 6, "delivered": 5, "read": 3, "answered": 2, "refused": 1}
    head = receipt_lines.head(receipt(counts=counts, audience={"to": ["@workers"], "size": 7}))
    assert head == "msg_1 to @workers: 6 accepted, 5 delivered, 3 read, 2 answered, 1 refused"
    assert receipt_lines.head(receipt()) == "msg_1: 0 accepted, 0 delivered, 0 read, 0 answered"


def test_each_receiver_has_its_last_step() -> None:
    at = NOW_MS - 60_000
    found = receipt(
        {"to": "sess_1", "state": "answered", "at": at, "answerId": "msg_2", "via": "cli"},
        {"to": "sess_2", "state": "read", "at": at, "via": "hook:codex:Stop"},
        {"to": "sess_3", "state": "delivered", "at": at, "via": "cli", "presence": {"state": "gone", "since": at}},
        {"to": "sess_4", "state": "pending", "at": at, "presence": {"state": "idle", "since": at}, "originalTo": "x"},
        {"to": "sess_5", "state": "offered", "at": at, "via": "watch"},
        {"to": "sess_6", "state": "refused", "code": "MAILBOX_FULL"},
        {"to": "", "state": "deleted"},
        {"to": "no such name", "state": "failed", "at": at},
        people={"sess_1": {"role": "worker", "name": "ann"}, "sess_2": {"role": "worker"}},
    )
    assert receipt_lines.each(found, NOW_MS) == [
        "  ann             answered  1m ago as msg_2",
        "  sess_2          read      1m ago by hook:codex:Stop",
        "  sess_3          delivered 1m ago by cli (gone, last sign 1m ago)",
        "  sess_4          pending   1m ago for x, who had ended (idle 1m)",
        "  sess_5          offered   1m ago by watch",
        "  sess_6          refused   MAILBOX_FULL",
        "  forgotten       deleted",
        '  "no such name"  failed    ?',
    ]
    assert len(receipt_lines.each(found)) == 8
