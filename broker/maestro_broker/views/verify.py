"""Spool verify: checks that the files of a data directory keep the broker's promises.

Rule: it reads everything and changes nothing. Each promise is one check with a name, the number of items it looked
at, and a finding for each violation. It reports `check` when a check begins, `finding`, `checked`, and `done` at the
end.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from maestro_broker.attachments.blob_checks import BlobChecks
from maestro_broker.attachments.blob_store import FILES_SUFFIX
from maestro_broker.commit.local import scanning
from maestro_broker.core.model import checkpoint
from maestro_broker.files import data_dir, index_files
from maestro_broker.files.file_findings import VerifyFinding, status_of, visible_names
from maestro_broker.files.markers import PENDING_MARKER
from maestro_runtime import outbox_dir, paths, places
from maestro_schemas import DATA_FORMAT_VERSION
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event
from maestro_schemas.groups import Group
from maestro_schemas.messages import Message
from maestro_schemas.names import SYSTEM_SENDER, ending_of, is_group_name, is_id, mark_of
from maestro_schemas.sessions import StoredSession

from . import dead_letters, index_check
from .spool import MODE_FINAL, MODE_PENDING, SUFFIX, Spool, read_link
from .spool_writer import HEADS_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REPORT_EVERY = 1_000
_ASIDE = ".tmp"
_PRIVATE = 0o077
# `../by-receiver/<session>`
_MARK_PARTS = 3

_message = msgspec.json.Decoder(Message)
_session = msgspec.json.Decoder(StoredSession)
_event = msgspec.json.Decoder(Event)
_group = msgspec.json.Decoder(Group)


class Counted(NamedTuple):
    """The counters of a mailbox, counted from its files."""

    pending: int
    unoffered: int
    last_seq: int


class SpoolVerifier:
    """The checks of one data directory."""

    def __init__(self, data: str, report: Callable[[dict[str, Any]], None], *, is_served: bool) -> None:
        """`is_served`: a broker is running on the directory. Checks for which a record that is not yet in the spool
        would look like an error are then left out."""
        self._data = data
        self._report = report
        self._is_served = is_served
        self._messages = os.path.join(data, "messages")
        self._receivers = os.path.join(self._messages, "by-receiver")
        self._looked = 0
        self._counted: dict[str, Counted] = {}
        self._heads: checkpoint.Checkpoint | None = None
        self._tail_records = 0
        self._is_of_another_format = False
        self._spool = Spool(data, lambda _: None, is_read_only=True)
        self._mark_of = {SYSTEM_SENDER: mark_of(SYSTEM_SENDER)}
        self._blob_checks = BlobChecks(self._spool.blobs, self._look)
        self._known_groups: dict[str, Group] = {}
        # Each is reported once, for all receivers of its message.
        self._missing_links: set[str] = set()
        self.findings = 0

    def run(self) -> None:
        """Run all checks; some need the results of earlier ones."""
        self._read_marks()
        checks: list[tuple[str, Callable[[], Iterator[VerifyFinding]], bool]] = [
            ("format", self._format, True),
            ("permissions", self._permissions, True),
            ("sessions", self._sessions, True),
            ("heads", self._read_heads, True),
            ("journal", self._journal, not self._is_served),
            ("groups", self._groups, True),
            ("attached files", self._blob_checks.blobs, True),
            ("messages", self._mailboxes, True),
            ("counters", self._counters, not self._is_served),
            ("markers", self._markers, not self._is_served),
            ("marks", self._marks, True),
            ("sender links", self._sender_links, not self._is_served),
            ("links", self._links, True),
            ("timeline", lambda: self._lines("timeline"), True),
            ("dead letters", lambda: self._lines(dead_letters.FOLDER), True),
            ("outbox", self._outbox, True),
            ("index", self._index, not self._is_served),
            ("leftovers", self._leftovers, not self._is_served),
            ("quarantine", self._quarantine, True),
        ]
        for name, check, applies in checks:
            self._report({"check": name})
            self._looked = 0
            found = 0
            is_run = applies and not self._is_of_another_format  # whose files mean something else
            for finding in check() if is_run else ():
                found += not finding.harmless
                self._report({"finding": name, **finding._asdict()})
            self.findings += found
            self._report({"checked": name, "looked": self._looked, "wrong": found, "skipped": not is_run})
        self._report({"done": True, "wrong": self.findings, "unfiled": self._tail_records})

    def _look(self) -> None:
        self._looked += 1
        if self._looked % _REPORT_EVERY == 0:
            self._report({"looked": self._looked})

    # --- the checks ----------------------------------------------------------------------------------------

    def _format(self) -> Iterator[VerifyFinding]:
        self._look()
        path = os.path.join(self._data, "format")
        try:
            data_dir.check_version(self._data)
        except MaestroError as error:
            self._is_of_another_format = True
            yield VerifyFinding(path, error.message, error.hint)
        except OSError as error:
            yield VerifyFinding(
                path,
                f"it can't be read: {error.strerror}",
                f"If this is a data directory of Maestro's: echo 'maestro-data {DATA_FORMAT_VERSION}' > {path}",
            )

    def _permissions(self) -> Iterator[VerifyFinding]:
        """No other user may read token hashes, keys or mail."""
        for directory, folders, names in os.walk(self._data):
            for name in (".", *names) if directory != self._receivers else (".",):
                path = os.path.normpath(os.path.join(directory, name))
                status = status_of(path)
                if status is None or stat.S_ISLNK(status.st_mode):
                    continue
                self._look()
                if status.st_mode & _PRIVATE:
                    yield VerifyFinding(
                        path, f"others may use it: mode {stat.S_IMODE(status.st_mode):04o}", f"chmod go= {path}"
                    )
            folders.sort()

    def _sessions(self) -> Iterator[VerifyFinding]:
        directory = os.path.join(self._data, "sessions")
        for name in visible_names(directory):
            path = os.path.join(directory, name)
            self._look()
            stored, why = _decoded(path, _session)
            if stored is None:
                yield VerifyFinding(path, why, "The next start moves it to messages/quarantine.")
            elif stored.session.id + SUFFIX != name:
                yield VerifyFinding(path, f"it holds session {stored.session.id!r}", "The next start moves it away.")

    def _groups(self) -> Iterator[VerifyFinding]:
        """A group's file holds the group of its name; only a group has links to what was sent to it."""
        directory = os.path.join(self._data, "groups")
        for name in visible_names(directory):
            path = os.path.join(directory, name)
            self._look()
            group, why = _decoded(path, _group)
            if group is None:
                if why:
                    yield VerifyFinding(path, why, "The next start moves it to messages/quarantine.")
            elif group.name + SUFFIX != name or not is_group_name(group.name):
                yield VerifyFinding(path, f"it holds group {group.name!r}", "The next start moves it away.")
            else:
                self._known_groups[group.name] = group
        top = self._spool.groups.mail_folder
        for name in visible_names(top) if not (self._is_served or self._tail_records) else ():
            if name not in self._known_groups:
                path = os.path.join(top, name)
                yield VerifyFinding(path, "there is no such group", f"rm -r {path}", harmless=True)

    def _read_heads(self) -> Iterator[VerifyFinding]:
        path = os.path.join(self._data, HEADS_FILE)
        try:
            with open(places.open_file(path, os.O_RDONLY), "rb") as file:
                self._heads = checkpoint.decode(file.read())
            self._looked = len(self._heads.mailboxes)
        except FileNotFoundError:
            self._heads = checkpoint.Checkpoint()
        except OSError as error:
            fault = places.refusal("CORRUPT", "it can't be read", error, "")
            yield VerifyFinding(path, fault.message, fault.hint)
        except MaestroError as error:
            yield VerifyFinding(path, error.message, "The next start counts again from the files.")

    def _journal(self) -> Iterator[VerifyFinding]:
        directory = os.path.join(self._messages, "journal")
        after_lsn = self._heads.lsn if self._heads is not None else 0
        try:
            listed = scanning.catalogue(directory)
        except FileNotFoundError:
            return
        for name in listed.foreign:
            yield VerifyFinding(
                os.path.join(directory, name), "it is not a file of the journal", "Move it away.", harmless=True
            )
        for file in (*listed.misnamed, *listed.duplicates):
            yield VerifyFinding(
                file.path, "a segment has another's name", "The next start renames it, and reports that."
            )
        found = []
        for file in listed.segments:
            self._look()
            if file.header is None:
                yield VerifyFinding(file.path, "its header is broken", "The next start serves the records behind it.")
            found.append(scanning.read(file, after_lsn))
        verdict = scanning.judge(found, after_lsn, after_lsn)
        self._looked += len(verdict.records)
        self._tail_records = len(verdict.records)
        for damage in verdict.damage:
            yield VerifyFinding(
                damage.path,
                f"bytes {damage.offset} to {damage.end} are no longer what was written, and records "
                f"{damage.first_lsn} to {damage.last_lsn} are lost",
                "The next start keeps the bytes in messages/quarantine and serves what is whole.",
            )
        if verdict.missing and not verdict.damage:
            first, last = verdict.missing[0]
            yield VerifyFinding(
                directory, f"records {first} to {last} are missing", "Restore the directory from a copy."
            )

    def _mailboxes(self) -> Iterator[VerifyFinding]:
        for session in visible_names(self._receivers):
            yield from self._mailbox(session)

    def _mailbox(self, session: str) -> Iterator[VerifyFinding]:
        directory = os.path.join(self._receivers, session)
        by_seq: dict[int, str] = {}
        pending = unoffered = 0
        for name in visible_names(directory):
            path = os.path.join(directory, name)
            self._look()
            if name.endswith(FILES_SUFFIX):
                yield from () if self._is_served or self._tail_records else self._blob_checks.orphan(path)
                continue
            message, why = _decoded(path, _message)
            if message is None:
                if why:
                    yield VerifyFinding(path, why, "The broker moves it to messages/quarantine when it reads it.")
                continue
            if message.id + SUFFIX != name or message.receiver != session:
                yield VerifyFinding(
                    path,
                    f"it holds message {message.id!r} to {message.receiver!r}",
                    "Move it to where it belongs, or away.",
                )
                continue
            other = by_seq.setdefault(message.seq, name)
            if other != name:
                yield VerifyFinding(path, f"its number {message.seq} is that of {other}", "Keep one of them.")
            yield from self._blob_checks.of_message(message)
            pending += message.status == "pending"
            unoffered += message.status == "pending" and message.offered_at is None
            status = status_of(path)
            wanted = MODE_PENDING if message.status == "pending" else MODE_FINAL
            if status is not None and (status.st_mode ^ wanted) & stat.S_IWUSR:
                yield VerifyFinding(
                    path,
                    f"its mode does not say that it is {message.status}",
                    f"chmod {wanted:o} {path}",
                    harmless=True,
                )
        self._counted[session] = Counted(pending, unoffered, max(by_seq, default=0))

    def _counters(self) -> Iterator[VerifyFinding]:
        """The counters of the last checkpoint match the files, if no record came after it."""
        if self._heads is None or self._tail_records:
            return
        path = os.path.join(self._data, HEADS_FILE)
        for session in sorted({*self._counted, *self._heads.mailboxes}):
            self._look()
            head = self._heads.mailboxes.get(session, checkpoint.MailboxHead())
            counted = self._counted.get(session, Counted(0, 0, 0))
            if (head.pending, head.unoffered) != counted[:2]:
                yield VerifyFinding(
                    path,
                    f"the mailbox of {session} has {counted.pending} pending messages, {counted.unoffered} of them "
                    f"not offered, and the counters say {head.pending} and {head.unoffered}",
                    "The broker counts again when it reads the mailbox.",
                )
            if head.seq < counted.last_seq:
                yield VerifyFinding(
                    path,
                    f"the mailbox of {session} ends with number {counted.last_seq}, and its counter says {head.seq}",
                    f"Move {path} away: the next start counts again.",
                )

    def _markers(self) -> Iterator[VerifyFinding]:
        if self._tail_records:
            return
        for session, counted in self._counted.items():
            self._look()
            path = os.path.join(self._receivers, session, PENDING_MARKER)
            if os.path.lexists(path) != (counted.unoffered > 0):
                what = (
                    "there is no marker, and mail that was not shown"
                    if counted.unoffered
                    else "a marker, and no new mail"
                )
                yield VerifyFinding(path, what, "The next start of the broker corrects it.")
            wake = self._spool.wake_files.path(session)
            if os.path.lexists(wake) and not counted.unoffered:
                what = "it asks to wake an agent for no mail"
                yield VerifyFinding(wake, what, "The next start of the broker removes it.", harmless=True)

    def _read_marks(self) -> None:
        """The mark of each session that has a file, or a folder of sent messages."""
        for name in visible_names(os.path.join(self._data, "sessions")):
            stored, _ = _decoded(os.path.join(self._data, "sessions", name), _session)
            if stored is not None:
                self._mark_of[stored.session.id] = mark_of(stored.session.id, stored.salt)
        for sender in visible_names(os.path.join(self._messages, "by-sender")):
            self._mark_of.setdefault(sender, self._spool.mark_in_use(sender) or mark_of(sender))

    def _marks(self) -> Iterator[VerifyFinding]:
        """A mark leads to the mailbox of its session."""
        top = os.path.join(self._messages, "to")
        for mark in visible_names(top):
            self._look()
            path = os.path.join(top, mark)
            parts = (read_link(path) or "").split("/")
            if parts[:2] != ["..", "by-receiver"] or len(parts) != _MARK_PARTS or not is_id(parts[2]):
                yield VerifyFinding(path, "it is no link to a mailbox", "Move it away.")
            elif self._mark_of.get(parts[2], mark_of(parts[2])) != mark:
                yield VerifyFinding(path, f"it leads to {parts[2]}, whose mark is another", "Move it away.")

    def _sender_links(self) -> Iterator[VerifyFinding]:
        """Each message has an id of its sender's, and stands in its sender's link or list and in its groups'."""
        for session in visible_names(self._receivers):
            for name in visible_names(os.path.join(self._receivers, session)):
                path = os.path.join(self._receivers, session, name)
                message, _ = _decoded(path, _message)
                if message is None:
                    continue
                self._look()
                if ending_of(message.id) != self._mark_of.get(message.sender, mark_of(message.sender)):
                    yield VerifyFinding(
                        path,
                        f"its id does not end with the mark of {message.sender}",
                        "Look at it, and move it away.",
                    )
                if self._tail_records:
                    continue
                yield from self._group_links(message)
                link = os.path.join(self._messages, "by-sender", message.sender, name)
                sent = self._spool.sent_by(link)
                if sent is None or session not in sent.receivers:
                    mark = self._mark_of.get(session, mark_of(session))
                    yield VerifyFinding(
                        link,
                        "the link of a message that is there is missing"
                        if sent is None
                        else f"{session} is not in it",
                        f"ln -s ../../to/{mark}/{name} {link}" if sent is None else "Look at it, and move it away.",
                    )

    def _group_links(self, message: Message) -> Iterator[VerifyFinding]:
        for name in message.groups:
            group = self._known_groups.get(name)
            link = os.path.join(self._spool.groups.folder(name), message.id + SUFFIX)
            # Not of an earlier group of that name.
            is_of_it = group is not None and message.created_at >= group.created_at
            if not is_of_it or link in self._missing_links or os.path.lexists(link):
                continue
            self._missing_links.add(link)
            sender = f"../../by-sender/{message.sender}/{message.id}{SUFFIX}"
            yield VerifyFinding(link, f"a message to the group {name} has no link there", f"ln -s {sender} {link}")

    def _links(self) -> Iterator[VerifyFinding]:
        """A link or a list leads to messages of its name, by its own sender."""
        for folder in ("by-sender", "by-thread", "by-group"):
            top = os.path.join(self._messages, folder)
            for session in visible_names(top):
                for name in visible_names(os.path.join(top, session)):
                    path = os.path.join(top, session, name)
                    self._look()
                    sent = self._spool.sent_by(path)
                    target = read_link(path)
                    # The list that a thread's link leads to may be swept before the link is.
                    is_gone = sent is None and target is not None and target.startswith("../../by-sender/")
                    failed = sent.failed if sent is not None else None
                    if failed is not None and (failed.id + SUFFIX != name or failed.sender != session):
                        yield VerifyFinding(
                            path,
                            f"it holds message {failed.id!r} of {failed.sender!r}",
                            "Look at it, and move it away.",
                        )
                    elif (sent is None and not is_gone) or (target is not None and target.rpartition("/")[2] != name):
                        yield VerifyFinding(path, "it is no link to a message of its name", "Move it away.")
                    elif folder == "by-sender" and ending_of(name.removesuffix(SUFFIX)) != self._mark_of[session]:
                        yield VerifyFinding(
                            path, f"its name does not end with the mark of {session}", "Move it away."
                        )

    def _lines(self, folder: str) -> Iterator[VerifyFinding]:
        directory = os.path.join(self._data, folder)
        last = (0, 0)
        for name in visible_names(directory):
            path = os.path.join(directory, name)
            if not os.path.isfile(path):
                yield VerifyFinding(path, "it is no day of the audit", "Move it away.", harmless=True)
                continue
            with open(places.open_file(path, os.O_RDONLY), "rb") as file:
                for number, line in enumerate(file, start=1):
                    self._look()
                    try:
                        event = _event.decode(line)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        yield VerifyFinding(
                            path, f"line {number} can't be read: {error}", "Take the line out, or keep it."
                        )
                        continue
                    place = (event.lsn, event.index)
                    if place <= last:
                        yield VerifyFinding(
                            path, f"line {number} has {_place(place)} after {_place(last)}", "Take the line out."
                        )
                    elif event.lsn == last[0] and event.index != last[1] + 1:
                        yield VerifyFinding(
                            path, f"line {number} has {_place(place)} after {_place(last)}", "A line is missing."
                        )
                    last = max(last, place)

    def _outbox(self) -> Iterator[VerifyFinding]:
        top = paths.outbox_dir(self._data)
        for session in visible_names(top):
            for name in visible_names(os.path.join(top, session)):
                if not outbox_dir.is_entry(name):
                    continue
                path = os.path.join(top, session, name)
                self._look()
                try:
                    outbox_dir.read(path, any_owner=True)
                except (OSError, MaestroError) as error:
                    yield VerifyFinding(path, f"{error}", "It is never sent: send it again, and remove it.")

    def _index(self) -> Iterator[VerifyFinding]:
        self._look()
        if (why := index_check.damage(self._data)) is not None:
            todo = "The next search builds it again."
            yield VerifyFinding(index_files.path_of(self._data), f"it is damaged: {why}", todo, harmless=True)

    def _leftovers(self) -> Iterator[VerifyFinding]:
        for directory, _, names in os.walk(self._data):
            for name in names:
                self._look()
                if name.endswith(_ASIDE):
                    path = os.path.join(directory, name)
                    yield VerifyFinding(path, "an interrupted write left it", f"rm {path}", harmless=True)

    def _quarantine(self) -> Iterator[VerifyFinding]:
        directory = os.path.join(self._messages, "quarantine")
        for name in visible_names(directory):
            self._look()
            yield VerifyFinding(
                os.path.join(directory, name), "the broker quarantined it", "Look at it, then move it away."
            )


def _place(place: tuple[int, int]) -> str:
    lsn, index = place
    return f"LSN {lsn}" + (f" index {index}" if index else "")


def _decoded(path: str, decoder: msgspec.json.Decoder[Any]) -> tuple[Any, str]:
    """The content of a file; or None and the reason; or None and an empty text if the file is gone."""
    try:
        with open(places.open_file(path, os.O_RDONLY), "rb") as file:
            return decoder.decode(file.read()), ""
    except FileNotFoundError:
        return None, ""
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        return None, f"it can't be read: {error}"
