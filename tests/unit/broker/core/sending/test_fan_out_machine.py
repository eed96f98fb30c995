"""Fan-outs against a ledger: audiences, groups, names and refusals in any order, with crashes anywhere.

Invariants: a fan-out reaches exactly those whom its addresses meant when it was accepted, and a repeat says the same
list for ever; all of its deliveries are there, or none; every mailbox is without a gap; two fan-outs come to all
common receivers in one order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from maestro_schemas.limits import Limits
from maestro_schemas.replies import SendResult
from maestro_schemas.requests import GroupDelete, GroupSet, Identity
from support.offices import Office

# By session, its project; those of `LEADS` are orchestrators, and CHILDREN are those of boss.
PROJECT_OF = {"boss": "a", "ann": "a", "bob": "a", "cat": "a", "lead": "b", "dan": "b", "eve": "b", "fay": "b"}
LEADS = ("boss", "lead")
CHILDREN = ("ann", "cat", "dan")
TEAM = "team"
LIMITS = Limits(rate_limit=0, pending_max=3, fanout_max=6, fanout_confirm=3, mailbox_idle_ms=100)
ALL = ["pending", "delivered", "read", "failed", "expired"]
ORDER = {"pending": 0, "delivered": 1, "read": 2}
WIDE = ("@all", "@workers", "@orchestrators", "@project", "@project:b")
ADDRESSES = (*PROJECT_OF, *WIDE, "@children", f"@{TEAM}")


@dataclass
class Delivery:
    """What the ledger knows of one."""

    seq: int
    status: str = "pending"
    is_deleted: bool = False


@dataclass
class FanOut:
    """An accepted message: its deliveries by receiver, and the codes of those that refused."""

    sender: str
    to: list[str]
    ttl_ms: int | None
    at_ms: int
    deliveries: dict[str, Delivery]
    refused: dict[str, str] = field(default_factory=dict)


class FanOutOffice(RuleBasedStateMachine):
    """A ledger beside an office."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(LIMITS)
        self.active = dict.fromkeys(PROJECT_OF, True)
        # The members of the group; None while it is deleted.
        self.team: dict[str, None] | None = {}
        self.ledger: dict[str, FanOut] = {}
        self.heads = dict.fromkeys(PROJECT_OF, 0)
        self.made = 0
        for session in PROJECT_OF:
            self._start(session)
        self.office.do(GroupSet(name=TEAM, create=True, project_id="a", who=Identity("boss")))

    def _start(self, session: str) -> None:
        role = "orchestrator" if session in LEADS else "worker"
        parent = "boss" if session in CHILDREN else None
        self.office.start(session, role=role, project_id=PROJECT_OF[session], parent_session_id=parent)

    # --- what should happen --------------------------------------------------------------------------------

    def _may_write(self, sender: str, receiver: str) -> bool:
        return {sender, receiver} & set(LEADS) != set() or PROJECT_OF[sender] == PROJECT_OF[receiver]

    def _meant(self, sender: str, address: str) -> list[str] | str:
        """The active sessions of an audience, or the code of its refusal."""
        is_lead = sender in LEADS
        if address == f"@{TEAM}":
            if self.team is None:
                return "GROUP_NOT_FOUND"
            if not is_lead and sender not in self.team:
                return "FORBIDDEN"
            found = list(self.team)
        elif address == "@all":
            if not is_lead:
                return "ROLE_FORBIDDEN"
            found = list(PROJECT_OF)
        elif address == "@workers":
            found = [s for s in PROJECT_OF if s not in LEADS and (is_lead or PROJECT_OF[s] == PROJECT_OF[sender])]
        elif address == "@orchestrators":
            found = list(LEADS)
        elif address == "@children":
            found = list(CHILDREN) if sender == "boss" else []
        else:
            project = address.partition(":")[2] or PROJECT_OF[sender]
            if not is_lead and project != PROJECT_OF[sender]:
                return "ROLE_FORBIDDEN"
            found = [session for session in PROJECT_OF if PROJECT_OF[session] == project]
        return [session for session in found if self.active[session] and self._may_write(sender, session)]

    def _judged(self, sender: str, to: list[str], *, confirm: bool) -> tuple[list[str], dict[str, str], set[str]]:
        """Who takes a message, who refuses it and why, and the codes for the whole of it."""
        named: dict[str, None] = {}
        wide: dict[str, None] = {}
        refused: dict[str, str] = {}
        codes = set()
        for address in to:
            if not address.startswith("@"):
                if not self.active[address]:
                    refused[address] = "RECEIVER_ENDED"
                else:
                    named[address] = None
                    if address != sender and not self._may_write(sender, address):
                        codes.add("ROLE_FORBIDDEN")
                continue
            meant = self._meant(sender, address)
            if isinstance(meant, str):
                codes.add(meant)
                continue
            (wide if address in WIDE else named).update(dict.fromkeys(meant))
        meant_all = [session for session in {**named, **wide} if session != sender]
        if not meant_all and not refused:
            codes.add("NO_RECEIVERS")
        if len(meant_all) + len(refused) > LIMITS.fanout_max:
            codes.add("TOO_MANY")
        if len(wide.keys() - named.keys() - {sender}) > LIMITS.fanout_confirm and not confirm:
            codes.add("CONFIRM_FANOUT")
        takers = [session for session in meant_all if self._pending(session) < LIMITS.pending_max]
        refused |= dict.fromkeys((session for session in meant_all if session not in takers), "MAILBOX_FULL")
        if not takers:
            codes |= set(refused.values())
        return takers, refused, codes

    def _pending(self, session: str) -> int:
        found = (sent.deliveries.get(session) for sent in self.ledger.values())
        return sum(each is not None and not each.is_deleted and each.status == "pending" for each in found)

    # --- what happens --------------------------------------------------------------------------------------

    @rule(
        target=ids,
        sender=st.sampled_from(sorted(PROJECT_OF)),
        to=st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=6),
        ttl_ms=st.sampled_from([None, None, 50]),
        confirm=st.sampled_from([True, True, False]),
    )
    def send(self, sender: str, to: list[str], ttl_ms: int | None, confirm: bool) -> object:
        """All or nothing for the addresses, one by one for the states."""
        if not self.active[sender]:
            return multiple()
        self.made += 1
        takers, refused, codes = self._judged(sender, to, confirm=confirm)
        result = self.office.send(sender, to, f"m{self.made}", "to all", ttl_ms=ttl_ms, confirm=confirm)
        if codes:
            assert isinstance(result.error, dict), (result, codes)
            assert result.error["code"] in codes
            return multiple()
        assert (result.status, result.accepted, result.refused) == (201, len(takers), len(refused)), result
        assert result.audience is not None
        assert (list(result.audience.to), result.audience.size) == (to, len(takers) + len(refused))
        for taker in takers:
            self.heads[taker] += 1
        deliveries = {taker: Delivery(self.heads[taker]) for taker in takers}
        self.ledger[result.id] = FanOut(sender, to, ttl_ms, self.office.now_ms, deliveries, refused)
        self._compare(result, self.ledger[result.id])
        return result.id

    @rule(message_id=ids, change=st.sampled_from(["none", "none", "text", "order"]))
    def send_again(self, message_id: str, change: str) -> None:
        """The list that was frozen, whatever has become of its sessions, groups and names."""
        sent = self.ledger[message_id]
        if not self.active[sent.sender]:
            return
        text = "something else" if change == "text" else "to all"
        to = [*sent.to, "ann"] if change == "order" else sent.to
        result = self.office.send(sent.sender, to, message_id, text, ttl_ms=sent.ttl_ms)
        if all(each.is_deleted for each in sent.deliveries.values()):
            assert (result.status, result.state) == (200, "deleted")
        elif change != "none":
            assert result.status == 409
        else:
            assert result.status == 200
            self._compare(result, sent)

    def _compare(self, result: SendResult, sent: FanOut) -> None:
        found = {each.to: each for each in result.recipients}
        assert found.keys() == {**sent.deliveries, **sent.refused}.keys()
        for session, code in sent.refused.items():
            error = found[session].error
            assert isinstance(error, dict)
            assert error["code"] == code
        for session, delivery in sent.deliveries.items():
            expected = (None, "deleted") if delivery.is_deleted else (delivery.seq, delivery.status)
            assert (found[session].seq, found[session].state) == expected

    @rule(message_id=ids, session=st.sampled_from(sorted(PROJECT_OF)), kind=st.sampled_from(["delivered", "read"]))
    def confirm(self, message_id: str, session: str, kind: str) -> None:
        """Each delivery has a state of its own."""
        [status] = self.office.confirm(session, kind, message_id)  # type: ignore[arg-type]
        delivery = self.ledger[message_id].deliveries.get(session)
        if delivery is None or delivery.is_deleted:
            assert status == 404
        elif delivery.status == "expired":
            assert status == 409
        else:
            assert status == 200
            delivery.status = max(kind, delivery.status, key=ORDER.__getitem__)

    @rule(message_id=ids, session=st.sampled_from(sorted(PROJECT_OF)))
    def delete(self, message_id: str, session: str) -> None:
        """One receiver's deletion is no other's."""
        [status] = self.office.delete(session, message_id)
        delivery = self.ledger[message_id].deliveries.get(session)
        if delivery is None:
            assert status == 404
        elif not delivery.is_deleted:
            assert status == 200
            delivery.is_deleted = True

    @rule(session=st.sampled_from(sorted(PROJECT_OF.keys() - {"boss"})))
    def end_or_start(self, session: str) -> None:
        """An ended session is in no audience, and stays a member of its group."""
        if self.active[session]:
            self.office.end(session)
        else:
            self._start(session)
        self.active[session] = not self.active[session]

    @rule(session=st.sampled_from(sorted(PROJECT_OF)))
    def join_or_leave(self, session: str) -> None:
        """What was sent before reaches no session that joins later, and is kept by those that leave."""
        if self.team is None or not self.active[session]:
            return
        if session in self.team:
            self.office.do(GroupSet(name=TEAM, remove=[session]))
            del self.team[session]
        else:
            self.office.do(GroupSet(name=TEAM, add=[session]))
            self.team[session] = None

    @rule()
    def delete_or_make_the_group(self) -> None:
        """What was sent to it stays, and so does the list that a repeat says."""
        if self.team is None:
            self.office.do(GroupSet(name=TEAM, create=True, project_id="a"))
            self.team = {}
        else:
            self.office.do(GroupDelete(name=TEAM))
            self.team = None

    @rule(wait_ms=st.sampled_from([1, 60, 200]))
    def wait(self, wait_ms: int) -> None:
        """Time passes; what has expired is no longer pending, and its sender gets a notification."""
        office = self.office
        office.now_ms += wait_ms
        office.expire_due()
        office.tick()
        for sent in self.ledger.values():
            if sent.ttl_ms is not None and sent.at_ms + sent.ttl_ms <= office.now_ms:
                for delivery in sent.deliveries.values():
                    delivery.status = "expired" if delivery.status == "pending" else delivery.status
        # The notifications count in the mailbox as any mail does; they are deleted, so that the ledger needs none.
        for session in PROJECT_OF:
            notices = [each.id for each in office.inbox(session, since=0) if each.id not in self.ledger]
            for message in office.inbox(session, since=0):
                self.heads[session] = max(self.heads[session], message.seq)
            if notices:
                assert set(office.delete(session, *notices)) == {200}

    @rule(count=st.sampled_from([1, 2, 5, None]), tell=st.booleans())
    def file(self, count: int | None, tell: bool) -> None:
        """Some is written; with `tell` False the core has not heard of it."""
        self.office.file(count, tell=tell)

    @rule()
    def checkpoint(self) -> None:
        """What is filed is synced."""
        self.office.make_checkpoint()

    @rule()
    def crash(self) -> None:
        """Memory is lost."""
        self.office.crash()

    @invariant()
    def every_delivery_is_there_once(self) -> None:
        """And no other; the counters are those of the mail."""
        for session in PROJECT_OF:
            expected = [
                (delivery.seq, message_id, delivery.status)
                for message_id, sent in self.ledger.items()
                for to, delivery in sent.deliveries.items()
                if to == session and not delivery.is_deleted
            ]
            mail = self.office.inbox(session, status=ALL, since=0)
            assert [(each.seq, each.id, each.status) for each in mail] == sorted(expected)
            mailbox = self.office.state.mailboxes[session]
            assert mailbox.pending == sum(each.status == "pending" for each in mail)
            assert mailbox.head_seq == self.heads[session], "a gap in the sequence"
        assert self.office.state.take_counter_mismatches() == []

    @invariant()
    def the_group_is_as_it_was_made(self) -> None:
        """Its members, in the order of their joining."""
        group = self.office.state.groups.get(TEAM)
        found = None if group is None else [member.session for member in group.members]
        assert found == (None if self.team is None else list(self.team))

    @invariant()
    def there_is_one_order(self) -> None:
        """Of any two fan-outs, in all mailboxes that have both."""
        for one, other in combinations(self.ledger.values(), 2):
            both = one.deliveries.keys() & other.deliveries.keys()
            assert len({one.deliveries[each].seq < other.deliveries[each].seq for each in both}) <= 1


TestFanOuts = pytest.mark.slow(FanOutOffice.TestCase)
TestFanOuts.settings = settings(max_examples=40, stateful_step_count=40, deadline=None, print_blob=True)
