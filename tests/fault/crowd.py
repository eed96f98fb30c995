"""Crowd: many sessions in one process; each watches its mailbox and sends to others.

Rule: a session is two threads, each with its own sockets, like two commands in a shell. Sent and received messages
are recorded; the test compares them afterwards.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.client import Client
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.protocol.callers import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

# After the senders have ended, a watcher that gets no message for this time has all of them.
_SILENCE_S = 3.0


class Task(NamedTuple):
    """The work of one process."""

    data: str
    environ: Mapping[str, str]
    router: str
    # The sessions of this process, and those of all processes.
    sessions: list[str]
    all_sessions: list[str]
    # How long each session sends, and its messages per second.
    seconds: float
    rate_per_s: float
    seed: int


class CrowdRecord(NamedTuple):
    """What the sessions of one process have sent and received."""

    # (id, receiver, seq) of each accepted message.
    sent: list[tuple[str, str, int]]
    # Session -> (id, seq) of its messages, in the order of their arrival.
    watched: dict[str, list[tuple[str, int]]]
    errors: list[str]


def run_sessions(task: Task) -> CrowdRecord:
    """Run the sessions of one process to their end."""
    sent: list[tuple[str, str, int]] = []
    watched: dict[str, list[tuple[str, int]]] = {session: [] for session in task.sessions}
    errors: list[str] = []
    senders_ended = threading.Event()
    watching = threading.Barrier(len(task.sessions) + 1)

    def watch(session: str) -> None:
        try:
            with Watcher(task.data, task.environ, Caller(session)) as watcher:
                watching.wait(60.0)
                while True:
                    message = watcher.next_message(_SILENCE_S)
                    if message is not None:
                        watched[session].append((message["id"], message["seq"]))
                    elif senders_ended.is_set():
                        return
        except Exception as error:  # noqa: BLE001 - reported to the test
            errors.append(f"{session} watching: {error!r}")

    def send(session: str, seed: int) -> None:
        chance = random.Random(seed)
        until_s = time.monotonic() + task.seconds
        try:
            with Client(task.router, Caller(session), timeout_s=30.0) as client:
                while time.monotonic() < until_s:
                    receiver = chance.choice(task.all_sessions)
                    result = client.send(receiver, f"from {session} " + "x" * chance.randrange(600))
                    sent.append((result["id"], receiver, result["seq"]))
                    time.sleep(chance.expovariate(task.rate_per_s))
        except Exception as error:  # noqa: BLE001
            errors.append(f"{session} sending: {error!r}")

    watchers = [threading.Thread(target=watch, args=(session,)) for session in task.sessions]
    senders = [
        threading.Thread(target=send, args=(session, task.seed + number))
        for number, session in enumerate(task.sessions)
    ]
    for thread in watchers:
        thread.start()
    watching.wait(60.0)
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    senders_ended.set()
    for thread in watchers:
        thread.join()
    return CrowdRecord(sent, watched, errors)
