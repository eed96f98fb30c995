"""The core against a ledger: whatever happens in whatever order, with crashes anywhere.

Invariants: an accepted message is pending, delivered, read, expired or deleted, never missing; a mailbox's
sequence has no gap; a deleted message never returns; no limit is exceeded; a repeat makes no second message; the
counters are those of the mail.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from maestro_broker.core.model import records
from maestro_schemas import names
from maestro_schemas.limits import RATE_WINDOW_MS, Limits
from maestro_schemas.messages import PRIORITY_RANK, Message, Metadata
from maestro_schemas.names import SYSTEM_SENDER
from maestro_schemas.requests import GetMessage, Identity
from support.offices import Office, refused

BOSS = "boss"
SESSIONS = (BOSS, "ann", "bob", "cyd")
# The guard against short answers has its own tests.
LIMITS = Limits(rate_limit=6, pending_max=5, mailbox_idle_ms=100, short_replies_max=0)
ALL = ["pending", "delivered", "read", "failed", "expired"]
ORDER = {"pending": 0, "delivered": 1, "read": 2}


@dataclass
class Line:
    """What the ledger knows of one delivery."""

    sender: str
    to: str
    text: str
    seq: int
    ttl_ms: int | None
    at_ms: int
    status: str = "pending"
    offered: bool = False
    original_to: str | None = None
    # The addresses, if the sender gave a list.
    listed: tuple[str, ...] = ()


class PostOffice(RuleBasedStateMachine):
    """A ledger beside an office."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(LIMITS)
        self.office.start("boss", role="orchestrator")
        for name in ("ann", "bob"):
            self.office.start(name, name=f"{name}-name")
        self.office.start("cyd", project_id="elsewhere", parent_session_id="boss")
        # By message and receiver.
        self.ledger: dict[tuple[str, str], Line] = {}
        self.deleted: dict[tuple[str, str], Line] = {}
        self.sends: dict[str, list[int]] = {name: [] for name in SESSIONS}
        self.active = dict.fromkeys(SESSIONS, True)
        self.heads = dict.fromkeys(SESSIONS, 0)
        self.made = 0
        self.heard = 0

    @rule(
        target=ids,
        sender=st.sampled_from(SESSIONS),
        to=st.sampled_from(SESSIONS),
        text=st.sampled_from(["one", "two\x1b[31m red", ""]),
        ttl_ms=st.sampled_from([None, None, 50, 5_000]),
        priority=st.sampled_from([None, "high", "low"]),
        id_ms=st.none() | st.integers(0, 9),
        on_ended=st.sampled_from([None, "error", "queue", "redirect"]),
    )
    def send(
        self,
        sender: str,
        to: str,
        text: str,
        ttl_ms: int | None,
        priority: str | None,
        id_ms: int | None,
        on_ended: str | None,
    ) -> object:
        """A fresh send, which must be judged as the rules say; `id_ms` as from a clock that goes anywhere."""
        meant = to
        self.made += 1
        message_id = f"m{self.made}" if id_ms is None else names.message_id(id_ms, self.made)
        office = self.office
        metadata = Metadata(priority=priority)  # type: ignore[arg-type]
        result = None
        if self.active[sender]:
            result = office.send(sender, to, message_id, text, ttl_ms=ttl_ms, metadata=metadata, on_ended=on_ended)
        ended = not self.active[meant]
        # cyd's parent is boss; the others' project has no orchestrator but boss. Boss never ends.
        if ended and on_ended == "redirect" and sender != BOSS:
            to = BOSS
        window = [at for at in self.sends[sender] if at > office.now_ms - RATE_WINDOW_MS]
        pending = self._pending(to)
        code = result.error["code"] if result is not None and isinstance(result.error, dict) else None
        if not self.active[sender]:
            return multiple()
        if ended and to == meant and on_ended != "queue":
            assert code == "RECEIVER_ENDED"
        elif "boss" not in (sender, to) and (sender == "cyd") != (to == "cyd"):
            assert code == "ROLE_FORBIDDEN"
        elif len(window) >= LIMITS.rate_limit:
            assert code == "RATE_LIMITED"
        elif not text:
            assert code == "EMPTY_MESSAGE"
        elif pending >= LIMITS.pending_max:
            assert code == "MAILBOX_FULL"
        else:
            assert result is not None
            assert result.status == 201, result
            self.heads[to] += 1
            assert result.seq == self.heads[to], "a gap in the sequence"
            assert (result.to, result.original_to) == (to, None if to == meant else meant)
            assert (result.reach == "ended") == (not self.active[to])
            self.sends[sender].append(office.now_ms)
            assert result.id == f"{message_id}_{names.mark_of(sender)}"
            self.ledger[result.id, to] = Line(
                sender, to, text, self.heads[to], ttl_ms, office.now_ms, original_to=result.original_to
            )
            return result.id
        return multiple()

    @rule(
        target=ids,
        sender=st.sampled_from(["boss", "ann"]),
        to=st.lists(st.sampled_from([BOSS, "ann", "bob", "ann-name"]), min_size=1, max_size=4),
        ttl_ms=st.sampled_from([None, None, 50]),
    )
    def send_to_several(self, sender: str, to: list[str], ttl_ms: int | None) -> object:
        """One id, and one number in each mailbox that takes it; full mailboxes and ended sessions refuse alone."""
        self.made += 1
        office = self.office
        if not self.active[sender] or ("ann-name" in to and not self.active["ann"]):
            return multiple()
        result = office.send(sender, to, f"several{self.made}", "to all", ttl_ms=ttl_ms)
        meant = [each for each in dict.fromkeys(each.removesuffix("-name") for each in to) if each != sender]
        pending = {each: self._pending(each) for each in meant}
        takers = [each for each in meant if self.active[each] and pending[each] < LIMITS.pending_max]
        window = [at for at in self.sends[sender] if at > office.now_ms - RATE_WINDOW_MS]
        code = result.error["code"] if isinstance(result.error, dict) else None
        if not meant:
            assert code == "NO_RECEIVERS"
        elif len(window) >= LIMITS.rate_limit:
            assert code in ("RATE_LIMITED", "RECEIVER_ENDED")
        elif not takers:
            assert code in ("MAILBOX_FULL", "RECEIVER_ENDED")
        else:
            assert (result.status, result.accepted, result.refused) == (201, len(takers), len(meant) - len(takers))
            assert result.audience is not None
            assert (result.audience.to, result.audience.size) == (tuple(to), len(meant))
            self.sends[sender].append(office.now_ms)
            for taker, found in zip(takers, result.recipients, strict=False):
                self.heads[taker] += 1
                assert (found.to, found.status, found.seq) == (taker, 201, self.heads[taker])
                self.ledger[result.id, taker] = Line(
                    sender, taker, "to all", self.heads[taker], ttl_ms, office.now_ms, listed=tuple(to)
                )
            return result.id
        return multiple()

    def _pending(self, session: str) -> int:
        return sum(line.to == session and line.status == "pending" for line in self.ledger.values())

    @rule(message_id=ids, other=st.booleans(), on_ended=st.sampled_from([None, "queue", "redirect"]))
    def send_again(self, message_id: str, other: bool, on_ended: str | None) -> None:
        """A repeat gives the same answer; another text under the same id is a conflict; a deleted one stays so."""
        lines = {to: line for (known, to), line in {**self.ledger, **self.deleted}.items() if known == message_id}
        line = next(iter(lines.values()))
        if not self.active[line.sender]:
            return
        text = "something else" if other else line.text
        metadata = Metadata()
        there = [each for each in lines.values() if (message_id, each.to) in self.ledger]
        if there:
            metadata = self._read(message_id, there[0].to).meta
        # The repeat is the same send, also if the receiver is active again or `onEnded` differs.
        result = self.office.send(
            line.sender,
            list(line.listed) or line.original_to or line.to,
            message_id,
            text,
            ttl_ms=line.ttl_ms,
            metadata=metadata,
            on_ended=on_ended,
        )
        if not there:
            assert (result.status, result.state) == (200, "deleted")
        elif other:
            assert result.status == 409
        elif line.listed:
            found = {each.to: each.state for each in result.recipients if each.status == 200}
            assert found == {to: each.status if each in there else "deleted" for to, each in lines.items()}
        else:
            assert (result.status, result.seq, result.state) == (200, line.seq, line.status)
            assert (result.to, result.original_to) == (line.to, line.original_to)

    @rule(session=st.sampled_from(SESSIONS), kind=st.sampled_from(["offered", "delivered", "read"]), message_id=ids)
    def confirm(self, session: str, kind: str, message_id: str) -> None:
        """Only the owner confirms, and a status only goes forward."""
        [status] = self.office.confirm(session, kind, message_id)  # type: ignore[arg-type]
        line = self.ledger.get((message_id, session))
        if line is None:
            assert status == 404
        elif line.status == "expired":
            assert status == 409
        else:
            assert status == 200
            if kind == "offered":
                line.offered = True
            elif ORDER[kind] > ORDER[line.status]:
                line.status, line.offered = kind, True

    @rule(session=st.sampled_from(SESSIONS), message_id=ids)
    def delete(self, session: str, message_id: str) -> None:
        """Only the owner deletes; once is enough."""
        [status] = self.office.delete(session, message_id)
        key = (message_id, session)
        if key in self.ledger:
            assert status == 200
            self.deleted[key] = self.ledger.pop(key)
        else:
            assert status == (200 if key in self.deleted and status == 200 else 404)

    @rule(session=st.sampled_from(SESSIONS))
    def end_or_start(self, session: str) -> None:
        """A send to an ended session is refused; starting the session again reopens its mailbox."""
        if self.active[session] and session != "boss":
            self.office.end(session)
            self.active[session] = False
        elif session != "boss":
            project = "elsewhere" if session == "cyd" else None
            self.office.start(session, project_id=project)
            self.active[session] = True

    @rule(wait_ms=st.sampled_from([1, 40, 200, 3_000, 61_000]))
    def wait(self, wait_ms: int) -> None:
        """Time passes: leases and lives end, mailboxes go idle."""
        self.office.now_ms += wait_ms
        self.office.expire_due()
        self.office.tick()
        for line in self.ledger.values():
            over = line.ttl_ms is not None and line.at_ms + line.ttl_ms <= self.office.now_ms
            if over and line.status == "pending":
                line.status = "expired"
        self._take_notices()

    def _take_notices(self) -> None:
        """The sender of an expired message got one notice, if it is active."""
        notices: dict[str, str] = {}
        for body in self.office.journal[self.heard :]:
            record = records.decode(body)
            if isinstance(record, records.Accepted) and record.message.sender == SYSTEM_SENDER:
                message = record.message
                assert (message.id, message.receiver) not in self.ledger, "two notices"
                self.ledger[message.id, message.receiver] = Line(
                    SYSTEM_SENDER, message.receiver, message.text, message.seq, None, message.created_at
                )
                self.heads[message.receiver] = message.seq
                notices[message.receiver] = notices.get(message.receiver, "") + message.text
            elif isinstance(record, records.Expired):
                lines = notices.get(record.sender, "").splitlines()
                named = [line.replace(",", "").split() for line in lines if line.startswith(f"  {record.id} to ")]
                assert any(record.mailbox in words for words in named) == self.active[record.sender]
        self.heard = len(self.office.journal)

    @rule(count=st.sampled_from([1, 2, 5, None]), tell=st.booleans())
    def file(self, count: int | None, tell: bool) -> None:
        """The filer gets on; `tell` False: it has written, and the core has not heard yet."""
        self.office.file(count, tell=tell)

    @rule()
    def checkpoint(self) -> None:
        """What is filed is synced."""
        self.office.make_checkpoint()

    @rule()
    def crash(self) -> None:
        """Memory is lost."""
        self.office.crash()

    @rule(session=st.sampled_from(SESSIONS), lease_ms=st.sampled_from([10, 1_000]))
    def lease(self, session: str, lease_ms: int) -> None:
        """Two readers never hold the same mail."""
        one = self.office.inbox(session, lease_ms=lease_ms, reader="one", limit=2)
        two = self.office.inbox(session, lease_ms=lease_ms, reader="two")
        assert not {m.id for m in one} & {m.id for m in two}
        again = self.office.inbox(session, lease_ms=lease_ms, reader="one")
        assert {m.id for m in one} <= {m.id for m in again}

    @rule(message_id=ids, asking=st.sampled_from([*SESSIONS, None]))
    def read_one(self, message_id: str, asking: str | None) -> None:
        """Only sender, receiver and operator see a message, and boss what has both ends in its project."""
        lines = [line for (known, _), line in self.ledger.items() if known == message_id]
        request = GetMessage(id=message_id, who=Identity(asking))
        own = [line for line in lines if asking in (line.sender, line.to)]
        within = [line for line in lines if asking == BOSS and "cyd" not in (line.sender, line.to)]
        seen = lines if asking is None else own or within
        if not seen:
            assert refused(self.office, request).code == "MESSAGE_NOT_FOUND"
        elif asking is None and len(seen) > 1:
            assert refused(self.office, request).code == "AMBIGUOUS_ID"
        else:
            own = [line for line in seen if line.to == asking] or seen
            message = self.office.do(request).message
            assert (message.status, message.seq) == (own[0].status, own[0].seq)

    def _read(self, message_id: str, to: str) -> Message:
        found: Message = self.office.do(GetMessage(id=message_id, session=to)).message
        return found

    @invariant()
    def nothing_is_missing(self) -> None:
        """Each inbox holds exactly what the ledger says, in order; what is known of it without a read is so too."""
        for session in SESSIONS:
            unread = self.office.state.mailboxes.get(session)
            if unread is not None and unread.knows_oldest:
                times = [
                    (line.seq, line.at_ms)
                    for (_, to), line in self.ledger.items()
                    if to == session and line.status == "pending"
                ]
                assert unread.oldest_pending_ms == (min(times)[1] if times else None)
            expected = [(line.seq, i, line.status) for (i, to), line in self.ledger.items() if to == session]
            found = self.office.inbox(session, status=ALL, since=0)
            assert [(m.seq, m.id, m.status) for m in found] == sorted(expected)
            pending = self.office.inbox(session)
            assert [m.id for m in pending] == [
                m.id
                for m in sorted(
                    (m for m in found if m.status == "pending"), key=lambda m: (PRIORITY_RANK[m.meta.priority], m.seq)
                )
            ]
            mailbox = self.office.state.mailboxes[session]
            assert mailbox.pending == len(pending)
            assert mailbox.unoffered == sum(m.offered_at is None for m in pending)
            # The post office's own notices come above the limit.
            assert sum(m.sender != SYSTEM_SENDER for m in pending) <= LIMITS.pending_max
        assert self.office.state.take_counter_mismatches() == [], "counters did not fit the files"


TestPostOffice = pytest.mark.slow(PostOffice.TestCase)
TestPostOffice.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
