"""Demo play: the acts of `maestro demo`, one method each.

Rule: an act does one thing, checks its effect, and prints what it has seen and how long it took. It raises StepFailed
if the effect is missing.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import statistics
import threading
import time
from typing import TYPE_CHECKING

from maestro_cli import exit_codes
from maestro_cli.output import streams
from maestro_cli.processes.process_exit import BrokerExit
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_runtime.paths import receiver_dir
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import canonical_id, mark_of

from .stage import COMMAND_S_MAX, Actor, CommandRun, StepFailed

if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc, OutgoingDoc

    from .stage import Stage, WatchProcess

_TASK = "task_42"
_BURST = 400
_KILL_AFTER = 120
_LIMIT = 10
_PATIENCE_S = 10.0


class Play:
    """The acts of the demo, in order."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._act = 0

    def all(self) -> None:
        """Run all acts. Raises StepFailed or MaestroError at the first step that fails."""
        self._start_broker()
        olive = self._session("olive", role="orchestrator", project="shop")
        wendy = self._session("wendy", role="worker", project="shop")
        walt = self._session("walt", role="worker", project="docs")
        watching = self._stage.watch(wendy)
        task = self._task_to_a_watcher(olive, wendy, watching)
        self._task_to_an_offline_worker(olive, walt)
        self._answer_in_the_thread(olive, wendy, task)
        self._receipt(olive, wendy, watching)
        self._forbidden(wendy, walt)
        self._over_the_limit(walt, olive)
        self._kill(olive, wendy, watching)
        self._on_disk(wendy, task)

    def _start_broker(self) -> None:
        self._title("The broker starts")
        ran = self._run("up", "--no-http")
        _must(ran.code == exit_codes.DONE, ran, "the broker did not start")
        _say(f"ready after {ran.took_ms:.0f} ms (the whole command), pid {self._stage.broker().pid}")
        self._title("An orchestrator and two workers start their sessions")

    def _session(self, name: str, *, role: str, project: str) -> Actor:
        ran = self._run("session", "start", "--name", name, "--role", role, "--project", project, "--json")
        _must(ran.code == exit_codes.DONE, ran, f"{name}'s session did not start")
        session = ran.json()
        return Actor(name, session["id"], session["token"])

    def _task_to_a_watcher(self, olive: Actor, wendy: Actor, watching: WatchProcess) -> str:
        self._title("A task goes out; wendy is watching her inbox")
        ran = self._run(
            *("session", "send", "--to", "wendy", "--type", "request", "--task", _TASK, "--json"),
            *("--message", "Review the checkout branch."),
            actor=olive,
        )
        _must(ran.code == exit_codes.DONE and ran.json()["status"] == "accepted", ran, "the task was not accepted")
        task = str(ran.json()["id"])
        watching.arrival(task, _PATIENCE_S)
        _say(f"accepted, which means on disk: {task}; the whole command took {ran.took_ms:.0f} ms")
        _say("wendy's `maestro inbox --watch` printed it")
        accepted_ms, pushed_ms = [], []
        with self._client(olive) as client:
            client.hello()
            for number in range(1, 6):
                begun = time.monotonic()
                sent = client.send(wendy.session, f"Note {number} on {_TASK}.")
                accepted = time.monotonic()
                printed, _ = watching.arrival(sent["id"], _PATIENCE_S)
                accepted_ms.append((accepted - begun) * 1000)
                pushed_ms.append(max(printed - accepted, 0.0) * 1000)
        _say(
            f"five more over an open connection, medians: accepted after {statistics.median(accepted_ms):.2f} ms, "
            f"printed by the watching process {statistics.median(pushed_ms):.1f} ms later"
        )
        return task

    def _task_to_an_offline_worker(self, olive: Actor, walt: Actor) -> None:
        self._title("walt is offline; his task waits for him")
        ran = self._run(
            *("session", "send", "--to", "walt", "--message", "Update the manual.", "--json"), actor=olive
        )
        _must(ran.code == exit_codes.DONE, ran, "the task was not accepted")
        sent = str(ran.json()["id"])
        with self._client(olive) as client:
            waiting = client.message(sent)
        _must(waiting["status"] == "pending", ran, f"the message is {waiting['status']}, not pending")
        _say("it is pending; now walt comes back and looks")
        ran = self._run("inbox", "--json", actor=walt)
        _must(sent in [message["id"] for message in ran.json()["messages"]], ran, "walt's inbox has no task")
        with self._client(olive) as client:
            delivered = client.message(sent)
        _must(delivered["status"] == "delivered", ran, f"the message is {delivered['status']}, not delivered")
        _say(f"he has it, {ran.took_ms:.0f} ms after he asked, and olive sees it as delivered")

    def _answer_in_the_thread(self, olive: Actor, wendy: Actor, task: str) -> None:
        self._title("wendy answers in the thread")
        ran = self._run(
            *("session", "send", "--to", "olive", "--reply-to", task, "--type", "response", "--json"),
            *("--message", "Reviewed: two remarks, both small."),
            actor=wendy,
        )
        _must(ran.code == exit_codes.DONE, ran, "the answer was not accepted")
        answer = str(ran.json()["id"])
        shown = self._run("inbox", "--json", actor=olive)
        found = [message for message in shown.json()["messages"] if message["id"] == answer]
        _must(bool(found), shown, "olive's inbox has no answer")
        thread = found[0].get("metadata", {}).get("threadId")
        _must(thread == task, shown, f"the answer is in thread {thread}, not {task}")
        _say(f"olive's inbox has it, in the thread of {task}")

    def _receipt(self, olive: Actor, wendy: Actor, watching: WatchProcess) -> None:
        self._title("A receipt comes back")
        own_id = canonical_id(new_message_id(), mark_of(olive.session))
        arguments = (
            *("session", "send", "--to", "wendy", "--message", "Merge it.", "--require-ack", "--json"),
            *("--id", own_id, "--wait", "read", "--timeout", f"{COMMAND_S_MAX:g}s"),
        )
        _say(_shell(olive, arguments))
        waiting = self._stage.start(*arguments, actor=olive)
        watching.arrival(own_id, _PATIENCE_S)
        began = time.monotonic()
        read = self._run("message", "read", own_id, actor=wendy)
        _must(read.code == exit_codes.DONE, read, "wendy could not acknowledge")
        output, _ = waiting.communicate(timeout=COMMAND_S_MAX)
        took_ms = (time.monotonic() - began) * 1000
        ran = CommandRun(waiting.returncode, output, "", took_ms)
        _must(ran.code == exit_codes.DONE and ran.json()["state"] == "read", ran, "olive got no receipt")
        _say(f"olive's command ended with the receipt, {took_ms:.0f} ms after wendy began to acknowledge")

    def _forbidden(self, wendy: Actor, walt: Actor) -> None:
        self._title("A worker may not write to a worker of another project")
        ran = self._run("session", "send", "--to", walt.session, "--message", "Psst.", actor=wendy)
        _must(ran.code == exit_codes.REFUSED, ran, "the forbidden message was not refused")
        _quote(ran)
        _must(self._count(walt) == 1, ran, "the forbidden message came through")

    def _over_the_limit(self, walt: Actor, olive: Actor) -> None:
        self._title(f"walt sends {_LIMIT} messages in a minute, and one more")
        with self._client(walt) as client:
            for number in range(_LIMIT):
                client.send(olive.session, f"Page {number + 1} is done.")
        ran = self._run("session", "send", "--to", "olive", "--message", "One more page.", actor=walt)
        _must(ran.code == exit_codes.NOT_NOW, ran, "the message over the limit was not refused")
        _quote(ran)

    def _kill(self, olive: Actor, wendy: Actor, watching: WatchProcess) -> None:
        self._title(f"{_BURST} messages, and the broker is killed with SIGKILL in the middle")
        for arguments in (("down",), ("up", "--no-http", "--set", "rate_limit=0")):
            ran = self._run(*arguments)
            _must(ran.code == exit_codes.DONE, ran, "the broker did not restart with another limit")
        broker = self._stage.broker()
        victim = broker.pid
        burst = _Burst(broker.router, olive, wendy.session)
        burst.start()
        burst.wait_for(_KILL_AFTER)
        with BrokerExit(self._stage.data, broker) as end:
            os.kill(victim, signal.SIGKILL)
            # A process ends when the kernel has time for it, so not before the sync of a busy disk.
            _check(end.wait(_PATIENCE_S), "the killed broker did not end")
        _say(f"killed pid {victim} after {burst.count()} of {_BURST} were accepted; the sender keeps trying")
        ran = self._run("up", "--no-http", "--set", "rate_limit=0")
        _must(ran.code == exit_codes.DONE, ran, "the broker did not come back")
        accepted = burst.result()
        _say(f"a new broker (pid {self._stage.broker().pid}) was up {ran.took_ms:.0f} ms later; the sender finished")
        printed = watching.wait_for_all(set(accepted), _PATIENCE_S)
        stored = [message["id"] for message in self._mailbox(wendy)]
        for where, ids in (("wendy's watching process", printed), ("her mailbox", stored)):
            missing = [sent for sent in accepted if sent not in ids]
            _check(not missing, f"{len(missing)} accepted messages are missing in {where}")
            _check(len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} messages are twice in {where}")
        numbers = [message["seq"] for message in self._mailbox(wendy)]
        _check(numbers == list(range(1, len(numbers) + 1)), "the numbers of wendy's mailbox have gaps")
        _say(f"all {len(accepted)} ids are there once, in her mailbox and in the process that watched all along")

    def _on_disk(self, wendy: Actor, task: str) -> None:
        self._title("Where everything is on disk")
        ran = self._run("down")
        _must(ran.code == exit_codes.DONE, ran, "the broker did not stop")
        mailbox = receiver_dir(self._stage.data, wendy.session)
        files = sorted(name for name in os.listdir(mailbox) if name.endswith(".json"))
        _check(f"{task}.json" in files, f"{mailbox} has no {task}.json")
        _say(f"{self._stage.data} holds {', '.join(sorted(os.listdir(self._stage.data)))}")
        _say(f"wendy's mailbox, one file a message, {len(files)} in all: {mailbox}")
        for name in files[:3]:
            _say(f"  {name}")
        _say("  ...")
        _say(f"{task}.json:")
        with open(os.path.join(mailbox, f"{task}.json"), encoding="utf-8") as file:
            message = json.load(file)
        _check(message["id"] == task, f"{task}.json holds another message")
        for line in json.dumps(message, indent=2, ensure_ascii=False).splitlines():
            _say(f"  {line}")

    def _title(self, text: str) -> None:
        self._act += 1
        streams.say(f"\n{self._act}. {text}")

    def _run(self, *arguments: str, actor: Actor | None = None) -> CommandRun:
        _say(_shell(actor, arguments))
        return self._stage.maestro(*arguments, actor=actor)

    def _client(self, actor: Actor) -> Client:
        return Client(self._stage.broker().router, Caller(actor.session, actor.token), timeout_s=_PATIENCE_S)

    def _mailbox(self, actor: Actor) -> list[MessageDoc]:
        """All messages of the actor's mailbox, of any status, by seq."""
        found: list[MessageDoc] = []
        since = 0
        with self._client(actor) as client:
            while True:
                page = client.inbox(since=since, status=["pending", "delivered", "read"])
                found += page["messages"]
                since = page["upTo"]
                if not page["hasMore"]:
                    return found

    def _count(self, actor: Actor) -> int:
        return len(self._mailbox(actor))


class _Burst(threading.Thread):
    """A sender with many messages in flight. It retries with the same ids until all are accepted."""

    def __init__(self, router: str, sender: Actor, receiver: str) -> None:
        super().__init__(daemon=True)
        self._router = router
        self._sender = sender
        self._receiver = receiver
        self._accepted: dict[str, None] = {}
        self._error: MaestroError | None = None
        self._changed = threading.Condition()

    def run(self) -> None:
        # Complete ids, so that the results and the mailbox have the same.
        mark = mark_of(self._sender.session)
        outgoing: list[OutgoingDoc] = [
            {
                "id": canonical_id(new_message_id(), mark),
                "to": self._receiver,
                "message": f"Line {number} of the log.",
            }
            for number in range(1, _BURST + 1)
        ]
        give_up = time.monotonic() + COMMAND_S_MAX
        with Client(self._router, Caller(self._sender.session, self._sender.token), patient=True) as client:
            while len(self._accepted) < _BURST:
                try:
                    left = [one for one in outgoing if one["id"] not in self._accepted]
                    for result in client.pipeline(left, in_flight=8):
                        if "error" in result:
                            raise MaestroError.from_body(result["error"])
                        with self._changed:
                            self._accepted[result["id"]] = None
                            self._changed.notify_all()
                except MaestroError as error:
                    if not error.retryable or time.monotonic() > give_up:
                        with self._changed:
                            self._error = error
                            self._changed.notify_all()
                        return

    def count(self) -> int:
        """The number of messages accepted so far."""
        with self._changed:
            return len(self._accepted)

    def wait_for(self, count: int) -> None:
        """Wait until `count` messages are accepted. Raises StepFailed after COMMAND_S_MAX, and MaestroError if the
        sender fails."""
        with self._changed:
            reached = self._changed.wait_for(
                lambda: len(self._accepted) >= count or self._error is not None, COMMAND_S_MAX
            )
        if self._error is not None:
            raise self._error
        if not reached:
            raise StepFailed(f"only {self.count()} of {count} messages were accepted in {COMMAND_S_MAX:g} s")

    def result(self) -> list[str]:
        """Wait for the end. Returns all accepted ids. Raises as `wait_for`."""
        self.wait_for(_BURST)
        self.join(_PATIENCE_S)
        return list(self._accepted)


def _must(condition: bool, ran: CommandRun, failure: str) -> None:  # noqa: FBT001 - a condition, as in assert
    if not condition:
        raise StepFailed(f"{failure} (exit code {ran.code}, output {ran.out!r}, errors {ran.err!r})")


def _check(condition: bool, failure: str) -> None:  # noqa: FBT001 - a condition, as in assert
    if not condition:
        raise StepFailed(failure)


def _shell(actor: Actor | None, arguments: tuple[str, ...]) -> str:
    return f"{actor.name if actor else ''}$ maestro " + " ".join(shlex.quote(argument) for argument in arguments)


def _say(text: str) -> None:
    streams.say(f"   {text}")


def _quote(ran: CommandRun) -> None:
    for line in ran.err.splitlines():
        _say(f"  {line}")
    _say(f"exit code {ran.code}")
