"""Recorder: makes the data directories that `tests/contract/broker/test_old_data.py` reads.

Rule: it starts the broker and the command of another checkout by their paths, and imports nothing of it:

    .venv/bin/python tests/support/data_dirs/record.py CHECKOUT NAME

CHECKOUT has a `.venv`. It writes `NAME-killed.json` and `NAME-stopped.json` beside this file.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir)))

from support.recorded_data import Wire, dumps, observe, pack

# Small segments, so that the journal has several; nothing expires but what is meant to, however old the recording is.
SETTINGS = ("segment_bytes=65536", "retention=36500d", "ttl_ms_max=36500d", "disk_reserve_bytes=65536")
CHECKPOINT_S = 11.0
# A fixed name: the notice of a failed outbox entry has it in its text.
SCRATCH = "/tmp/post"
TAIL_MESSAGES = 12
FILED_MAX = 4
START_S = 20.0
TOKENS = {"lead": "token-of-lead", "ann": "token-of-ann"}
TTL_MS = 36_000 * 24 * 3_600_000
SESSIONS: list[dict[str, Any]] = [
    {"id": "lead", "name": "boss", "role": "orchestrator", "projectId": "shop"},
    {
        "id": "ann",
        "name": "ann",
        "projectId": "shop",
        "parentSessionId": "lead",
        "taskIds": ["task_1", "task_2"],
        "metadata": {"colour": "grün", "depth": {"list": [1, 2.5, None, True]}},
        "agent": "claude-code",
        "agentSessionId": "0f9c",
        "pid": 4321,
        "cwd": "/srv/shop",
    },
    {"id": "ben", "projectId": "shop"},
    {"id": "eve", "name": "eve", "projectId": "other", "status": "working"},
    {"id": "gone", "name": "old", "projectId": "shop", "parentSessionId": "lead"},
    {"id": "back", "projectId": "shop"},
    {"id": "tail", "projectId": "shop"},
    {"id": "late", "projectId": "shop"},
]
# The mailboxes that are still written to after the observation; the test looks at them by themselves.
LATER = ("tail", "late")


def message(name: str, to: str, text: str = "", **more: Any) -> dict[str, Any]:
    return {"id": name, "to": to, "message": text or f"The text of {name}.", **more}


def sends() -> list[tuple[str, dict[str, Any]]]:
    """Sender and message, in order."""
    data = {"commit": "4f1c2aa", "nested": {"ä": [1, -2, 3.5, None, False, "\U0001f4ec"]}}
    return [
        ("lead", message("m_pending", "ann")),
        ("lead", message("m_high", "ann", metadata={"priority": "high", "type": "command", "requiresAck": True})),
        ("lead", message("m_low", "ann", metadata={"priority": "low", "taskId": "task_1"})),
        ("lead", message("m_offered", "ann")),
        ("lead", message("m_delivered", "ann")),
        ("lead", message("m_read", "ann", metadata={"requiresAck": True})),
        ("lead", message("m_deleted", "ann")),
        ("ann", message("m_expired", "ben", ttlMs=1)),
        ("ann", message("m_lives", "ben", ttlMs=TTL_MS)),
        ("ann", message("m_data", "ben", "Umlaute: äöü, \u4e2d\u6587, \U0001f4ec\n\ttab", metadata={"data": data})),
        ("ben", message("t_1", "ann", metadata={"type": "request"})),
        ("ann", message("t_2", "ben", metadata={"type": "response", "inReplyTo": "t_1"})),
        ("ben", message("t_3", "ann", metadata={"inReplyTo": "t_2"})),
        ("lead", message("m_by_name", "eve", metadata={"type": "notification"})),
        ("ben", message("m_redirected", "gone", onEnded="redirect")),
        ("lead", message("m_waits", "back", onEnded="queue")),
    ]


class Recording:
    """One broker of the checkout on a scratch directory."""

    def __init__(self, checkout: str, root: str) -> None:
        self.checkout, self.root = checkout, root
        self.data = os.path.join(root, "data")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
        self.environ = {
            **inherited,
            "MAESTRO_DATA_DIR": self.data,
            "MAESTRO_RUNTIME_DIR": os.path.join(root, "run"),
            "MAESTRO_CONFIG": os.path.join(root, "none.toml"),
            "MAESTRO_RATE_LIMIT": "0",
            "MAESTRO_AUTOSTART": "0",
        }
        words = [os.path.join(checkout, ".venv", "bin", "python"), "-m", "maestro_broker", "--data-dir", self.data]
        words += [word for setting in SETTINGS for word in ("--set", setting)]
        self.process = subprocess.Popen(words, env=self.environ, cwd=root)
        self.wire = Wire(self._router())

    def _router(self) -> str:
        endpoints = os.path.join(self.data, "endpoints")
        deadline = time.monotonic() + START_S
        while not os.path.exists(endpoints):
            assert time.monotonic() < deadline, "the broker does not start"
            time.sleep(0.05)
        with open(endpoints, encoding="utf-8") as file:
            return dict(line.rstrip("\n").partition("=")[::2] for line in file)["router"]

    def done(self, command: str, speaker: str | None = None, /, **body: Any) -> dict[str, Any]:
        """A request that must succeed; of the operator, where there is no speaker."""
        reply = self.wire.call(command, body, session=speaker, token=TOKENS.get(speaker or ""))
        failed = [item for item in reply.get("results", [reply]) if item.get("error") or "code" in item]
        assert not failed, (command, failed)
        return reply

    def await_filed(self) -> None:
        """Until every record is in the files."""
        deadline = time.monotonic() + START_S
        while True:
            stats = self.wire.call("stats", {})["stats"]
            if stats["filedLsn"] == stats["headLsn"]:
                return
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def fill(self) -> None:
        """The sessions and messages, in every state that they can be in."""
        for session in SESSIONS:
            token = TOKENS.get(session["id"])
            self.done("session.start", **session, **({} if token is None else {"token": token}))
        self.done("session.end", "gone", status="failed")
        self.done("session.end", "back")
        batches = sends()
        for sender, outgoing in batches[:8]:
            self.done("send", sender, messages=[outgoing])
        self.done("confirm", "ann", ids=["m_offered"], kind="offered", via="hook:claude-code:Stop")
        self.done("confirm", "ann", ids=["m_delivered"], kind="delivered", via="cli")
        self.done("confirm", "ann", ids=["m_read"], kind="delivered", via="cli")
        self.done("confirm", "ann", ids=["m_read"], kind="read", via="cli")
        self.done("delete", "ann", ids=["m_deleted"])
        # A checkpoint in the middle: what comes after it is in the journal and in the files.
        time.sleep(CHECKPOINT_S)
        for sender, outgoing in batches[8:]:
            self.done("send", sender, messages=[outgoing])
        waits = {"active": True, "message": "Which port?", "since": 5}
        self.done("session.touch", "ann", status="working", needsInput=waits)
        self.done("session.touch", "ann", note={"type": "info", "message": "began", "timestamp": 7})
        self.done("session.start", id="back", projectId="shop", name="back")
        self.done("session.end", "eve", status="stopped")
        refused = self.wire.call("send", {"messages": [message("m_refused", "stranger")]}, session="ben")
        assert refused["results"][0]["error"]["code"] == "RECEIVER_NOT_FOUND"
        # An outbox entry that is refused for good, and the notice of it to its sender.
        self.queue("ben", "q_failed", "stranger", running=True)
        self.done("outbox.drain")
        self.await_filed()

    def queue(self, session: str, name: str, to: str, *, running: bool) -> None:
        """A send that the command of the checkout puts into the outbox, since it can't reach a broker."""
        environ = {**self.environ, "MAESTRO_SESSION_ID": session}
        command = [os.path.join(self.checkout, ".venv", "bin", "maestro"), "send", "--to", to, "--id", name]
        # With a broker that serves the directory, the command must not find it.
        endpoints, aside = os.path.join(self.data, "endpoints"), os.path.join(self.root, "endpoints")
        if running:
            os.rename(endpoints, aside)
        subprocess.run([*command, "--message", f"The text of {name}."], env=environ, check=True)
        if running:
            os.rename(aside, endpoints)

    def end(self, number: signal.Signals) -> None:
        self.wire.close()
        self.process.send_signal(number)
        self.process.wait()


def record(checkout: str, *, killed: bool) -> dict[str, Any]:
    root = SCRATCH
    os.mkdir(root, mode=0o700)
    made = Recording(checkout, root)
    try:
        made.fill()
        repeats = [
            {"session": sender, "token": TOKENS.get(sender), "message": outgoing} for sender, outgoing in sends()
        ]
        sessions = [session["id"] for session in SESSIONS if session["id"] not in LATER]
        ids = [outgoing["id"] for _, outgoing in sends()]
        seen = observe(made.wire, sessions, ids, repeats)
        made.await_filed()
        tail = [message(f"tail_{number}", "tail") for number in range(TAIL_MESSAGES)]
        results = made.done("send", "ben", messages=tail)["results"]
        made.end(signal.SIGKILL if killed else signal.SIGTERM)
        tail_files = os.listdir(os.path.join(made.data, "messages", "by-receiver", "tail"))
        if killed and len([name for name in tail_files if name.endswith(".json")]) > FILED_MAX:
            raise SystemExit("The tail was filed before the kill: run it again.")
        made.queue("ben", "q_waiting", "late", running=False)
        files = pack(made.data)
        asked = {"sessions": sessions, "ids": ids, "repeats": repeats}
        kept = [{name: item[name] for name in ("id", "seq", "createdAt")} for item in results]
        return {"asked": asked, "seen": seen, "tail": kept, "files": files}
    finally:
        made.process.kill()
        made.process.wait()
        shutil.rmtree(root)


def main() -> int:
    checkout, name = os.path.abspath(sys.argv[1]), sys.argv[2]
    for form in ("killed", "stopped"):
        text = dumps(record(checkout, killed=form == "killed"))
        for trace in (checkout, os.path.expanduser("~") + "/", os.uname().nodename):
            around = text.find(trace)
            assert around < 0, f"the recording names {trace}: {text[around - 80 : around + 80]}"
        with open(os.path.join(os.path.dirname(__file__), f"{name}-{form}.json"), "w", encoding="utf-8") as file:
            file.write(text)
        print(f"{name}-{form}.json: {len(text)} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
