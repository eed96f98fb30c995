"""The life of an agent in the calls of the first and of the newest generation: the newest one names itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.post_office import eventually
from support.shipped_clients import ShippedClient

if TYPE_CHECKING:
    from support.gateways import Gateway

ORCHESTRATOR, WORKER = "sess_1770536700000_orchestr1", "sess_1770536700100_worker001"


@pytest.mark.parametrize(
    ("names_itself", "field", "roles"),
    [
        (False, "role", ("orchestrator", "worker")),
        (False, "mode", ("coordinator", "worker")),
        (True, "mode", ("coordinator", "coordinated-worker")),
    ],
)
def test_from_register_to_complete(gateway: Gateway, names_itself: bool, field: str, roles: tuple[str, str]) -> None:
    """Every call of an orchestrator and its worker, in the order in which an agent makes them."""
    boss = ShippedClient(gateway, ORCHESTRATOR, names_itself)
    worker = ShippedClient(gateway, WORKER, names_itself)
    # `session info` before it is registered.
    assert boss.call("GET", f"/api/sessions/{ORCHESTRATOR}").status == 404
    made = boss.register(metadata={field: roles[0]}, taskIds=["task_1"])
    assert (made.status, made.json["role"], made.json["taskIds"]) == (201, "orchestrator", ["task_1"])
    made = worker.register(metadata={field: roles[1]}, parentSessionId=ORCHESTRATOR)
    assert (made.json["role"], made.json["parentSessionId"]) == ("worker", ORCHESTRATOR)
    # `session list`, whole, of a project, and of the own workers; `session siblings`.
    for query, expected in (
        ("", {ORCHESTRATOR, WORKER}),
        ("?projectId=proj_demo&active=true", {ORCHESTRATOR, WORKER}),
        (f"?parentSessionId={ORCHESTRATOR}", {WORKER}),
    ):
        listed = boss.call("GET", f"/api/sessions{query}").json
        assert expected <= {one["id"] for one in listed}
    assert worker.call("GET", f"/api/sessions/{WORKER}/siblings").json == []
    assert worker.call("GET", f"/api/sessions/{ORCHESTRATOR}").json["name"] == ORCHESTRATOR
    # `session prompt`, both ways, and `session notify`.
    path = f"/api/sessions/{WORKER}"
    prompt: dict[str, Any] = {"content": "Mend it.", "mode": "send", "senderSessionId": ORCHESTRATOR}
    assert boss.call("POST", f"{path}/prompt", prompt).json == {"success": True}
    back = {**prompt, "senderSessionId": WORKER, "mode": "paste"}
    assert worker.call("POST", f"/api/sessions/{ORCHESTRATOR}/prompt", back).status == 200
    itself = worker.call("POST", f"{path}/prompt", back)
    assert (itself.status, itself.json["code"]) == (400, "INVALID")
    note = {"fromSessionId": WORKER, "fromName": "w", "message": "half", "detail": "of it"}
    assert worker.call("POST", f"/api/sessions/{ORCHESTRATOR}/mail", note).json["success"] is True
    got = boss.call("GET", f"/api/sessions/{ORCHESTRATOR}/mail").json
    assert [(one["fromSessionId"], one["message"]) for one in got] == [(WORKER, "Mend it."), (WORKER, "half")]
    # `report progress`, `needs-input`, `resume-working`.
    line = {"type": "progress", "message": "half of it", "metadata": {"percent": 50}}
    assert worker.call("POST", f"{path}/timeline", line).status == 201
    needs = {"needsInput": {"active": True, "message": "Which one?", "since": 5}}
    assert worker.call("PATCH", path, {"status": "idle", **needs}).json["needsInput"]["active"] is True
    resumed = worker.call("PATCH", path, {"status": "working", "needsInput": {"active": False}}).json
    assert (resumed["status"], resumed["needsInput"]) == ("working", {"active": False})
    # `report complete`, and the SessionEnd hook after it.
    for _ in range(2):
        done = worker.call("PATCH", path, {"status": "completed", "completedAt": 1_770_536_800_000}).json
        assert done["status"] == "completed"
    refused = boss.call("POST", f"{path}/prompt", prompt)
    assert (refused.status, refused.json["code"]) == (409, "RECEIVER_ENDED")
    # The next prompt of its user.
    assert worker.call("PATCH", path, {"status": "working"}).json["status"] == "working"
    assert boss.call("POST", f"{path}/prompt", prompt).json == {"success": True}
    shown = worker.call("GET", path).json
    assert [one["message"] for one in shown["timeline"]] == ["half of it"]
    assert shown["completedAt"] is None


@pytest.mark.parametrize("names_itself", [False, True])
def test_mail_with_and_without_the_header(gateway: Gateway, names_itself: bool) -> None:
    """The mail generation sends none; with one, the calls are those of that session."""
    boss = ShippedClient(gateway, ORCHESTRATOR, names_itself)
    worker = ShippedClient(gateway, WORKER, names_itself)
    assert boss.register(metadata={"mode": "coordinator"}).status == 201
    letter: dict[str, Any] = {
        "projectId": "proj_demo", "fromSessionId": WORKER, "toSessionId": ORCHESTRATOR, "replyToMailId": None,
        "type": "query", "subject": "Which?", "body": {"question": "Which one?"},
    }  # fmt: skip
    unknown = worker.call("POST", "/api/mail", letter)
    assert (unknown.status, unknown.json["code"]) == (401, "UNKNOWN_SESSION")
    for path in (f"/api/mail/inbox/{WORKER}", f"/api/mail/wait/{WORKER}?timeout=1000"):
        absent = worker.call("GET", path)
        assert (absent.status, absent.json["code"]) == (404, "SESSION_NOT_FOUND")
    # A read under a name that is not registered yet.
    assert worker.call("GET", f"/api/mail/inbox/{ORCHESTRATOR}").json == []
    assert worker.register(metadata={"mode": "worker"}).status == 201
    sent = worker.call("POST", "/api/mail", letter).json
    assert boss.call("GET", f"/api/mail/{sent['id']}").json == sent
    assert boss.call("GET", f"/api/mail/wait/{ORCHESTRATOR}").json == [sent]
    answered = {
        **letter, "fromSessionId": ORCHESTRATOR, "toSessionId": WORKER, "replyToMailId": sent["id"],
        "type": "response",
    }  # fmt: skip
    answer = boss.call("POST", "/api/mail", answered).json
    assert answer["threadId"] == sent["id"]
    thread = worker.call("GET", f"/api/mail/thread/{sent['id']}").json
    assert [one["id"] for one in thread] == [sent["id"], answer["id"]]
    assert worker.call("DELETE", f"/api/mail/{answer['id']}").json == {"deleted": True, "id": answer["id"]}
    eventually(lambda: len(boss.call("GET", f"/api/mail/thread/{sent['id']}").json) == 1, "it is gone")
