"""Watching: each message as it comes, until interrupted.

Rule: a message is confirmed after it was written out and flushed, never before: a message that the closed output did
not take comes again. The broker may stop and start meanwhile; that is reported on standard error, and no message is
missed.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from maestro_cli import exit_codes
from maestro_cli.context import now_ms
from maestro_cli.output import screen, streams
from maestro_cli.output.render import message_block
from maestro_clients.texts.display_names import DisplayNames
from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.errors import MaestroError

from .page import mark

if TYPE_CHECKING:
    from types import FrameType

    from maestro_cli.context import CommandContext
    from maestro_clients.client import Client
    from maestro_clients.mailbox.watcher import Watcher
    from maestro_schemas.documents import MessageDoc, PersonDoc

    from .page import Marking

# The longest delay until a signal or a closed output is noticed; the wait in between is in poll(2), not in a loop.
_TICK_S = 0.25
_CALL_TIMEOUT_S = 2.0
_NAMES_TIMEOUT_S = 0.5
_PEOPLE_MAX = 1_000


class Watch:
    """One `maestro inbox --watch`."""

    def __init__(
        self,
        context: CommandContext,
        marking: Marking,
        *,
        count_max: int | None,
        timeout_s: float | None,
        as_json: bool,
        quiet: bool,
        command: str | None = None,
        command_takes_quiet: bool = False,
        reports_timeout: bool = True,
    ) -> None:
        self._context = context
        self._marking = marking
        self._count_max = count_max
        self._timeout_s = timeout_s
        self._as_json = as_json
        self._quiet = quiet
        self._reports_timeout = reports_timeout
        # Run in a shell for each message instead of printing it.
        self._command = command
        # A command may wake an agent, and quiet mail wakes none.
        self._hold_quiet = command is not None and not command_takes_quiet
        # The signal that arrived, if any.
        self._signal: int | None = None
        self._was_lost = False
        # How many messages were shown.
        self._count = 0
        self._short = ShortIds()
        self._people: dict[str, PersonDoc] = {}

    def run(self) -> int:
        """Watch until a signal, the limit or the timeout; returns the exit code. Raises StdoutClosed when the reader
        of standard output has closed it; the messages that it did not get stay unconfirmed."""
        from maestro_clients.mailbox.watcher import Watcher

        context = self._context
        with context.full_client() as connection:
            before = {number: signal.signal(number, self._note_signal) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                client = connection.sharing(timeout_s=_CALL_TIMEOUT_S)
                unmarked = _UnmarkedMessages(client, self._marking)
                # An exception leaves the watcher with the last message not surfaced.
                with Watcher(
                    context.data,
                    context.environ,
                    context.caller,
                    hold_quiet=self._hold_quiet,
                    on_state=self._report_state,
                    client=connection,
                ) as watcher:
                    code = self._loop(watcher, client, unmarked)
                unmarked.mark()
                return code
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _loop(self, watcher: Watcher, client: Client, unmarked: _UnmarkedMessages) -> int:
        deadline_s = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        if not self._quiet:
            streams.note(f"maestro: watching the inbox of {self._context.session()}; Ctrl-C ends it")
        while True:
            if self._signal is not None:
                return exit_codes.INTERRUPTED if self._signal == signal.SIGINT else exit_codes.TERMINATED
            if streams.stdout_is_gone():
                raise streams.StdoutClosed
            left_s = _TICK_S if deadline_s is None else min(_TICK_S, deadline_s - time.monotonic())
            if left_s <= 0:
                return self._timed_out()
            message = watcher.next_message(left_s)
            if message is None:
                unmarked.mark()
                continue
            self._show(message, client)
            unmarked.add(message)
            self._count += 1
            if self._count == self._count_max:
                return exit_codes.DONE

    def _show(self, message: MessageDoc, client: Client) -> None:
        self._context.locate([message], client)
        if self._command is not None:
            _execute(self._command, message)
        elif self._as_json:
            streams.say_json(message)
        else:
            self._short.add_messages([message])
            streams.say(
                screen.fit(message_block(message, self._names(message, client), now_ms(), self._short)) + "\n"
            )

    def _names(self, message: MessageDoc, client: Client) -> DisplayNames:
        """The names of the message's sessions. Notices bring none, so the broker is asked once for each sender; where
        it does not answer soon, the ids stand alone."""
        if message["from"] not in self._people or "originalTo" in message:
            try:
                found = client.sharing(timeout_s=_NAMES_TIMEOUT_S).message_with_people(message["id"])
            except MaestroError:
                return DisplayNames(self._people)
            if len(self._people) > _PEOPLE_MAX:
                self._people.clear()
            self._people.update(found.get("people", {}))
        return DisplayNames(self._people)

    def _timed_out(self) -> int:
        if self._count:
            return exit_codes.DONE
        if self._reports_timeout:
            late = MaestroError("TIMEOUT", f"no message came within {self._timeout_s:g} s", "Watch again, or longer.")
            streams.complain(late, as_json=self._as_json)
        return exit_codes.TIMED_OUT

    def _report_state(self, state: str) -> None:
        if state == "lost":
            self._was_lost = True
            streams.note("maestro: the broker is gone; waiting for it to come back (maestro up)")
        elif state == "connected" and self._was_lost:
            self._was_lost = False
            streams.note("maestro: the broker is back")

    def _note_signal(self, number: int, _frame: FrameType | None) -> None:
        # Only noted: an exception from here could cut a confirmation in two.
        self._signal = number


def _execute(command: str, message: MessageDoc) -> None:
    """Raises MaestroError INTERNAL when the command fails; the message then counts as not surfaced."""
    import json
    import os
    import subprocess

    about = {"MAESTRO_MESSAGE_ID": message["id"], "MAESTRO_MESSAGE_FROM": message["from"]}
    # One path a line: a safe name has no line break. Without files the variable is empty, whatever it was before.
    located = [file.get("path") for file in message.get("attachments", ())]
    about["MAESTRO_MESSAGE_FILES"] = "\n".join(str(path) for path in located if path is not None)
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            input=json.dumps(message, ensure_ascii=False).encode() + b"\n",
            env={**os.environ, **about},
            check=False,
        )
    except OSError as error:
        raise MaestroError("INTERNAL", f"the shell can't be run: {error}", "Try again.") from None
    if done.returncode:
        raise MaestroError(
            "INTERNAL",
            f"the command of --exec ended with {done.returncode} for {message['id']}, which stays undelivered",
            "Correct the command; the next watch begins with that message.",
        )


class _UnmarkedMessages:
    """Shown messages that --mark-read or --clear has not marked yet; tried again after the broker was away."""

    def __init__(self, client: Client, marking: Marking) -> None:
        self._client = client
        self._marking = marking
        self._messages: list[MessageDoc] = []

    def add(self, message: MessageDoc) -> None:
        if self._marking != "delivered":
            self._messages.append(message)

    def mark(self) -> None:
        if not self._messages:
            return
        problem = mark(self._client, self._marking, self._messages)
        if problem is None or not problem.retryable:
            self._messages.clear()
        if problem is not None and not problem.retryable:
            streams.complain(problem, as_json=False)
