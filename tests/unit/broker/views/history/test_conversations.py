"""What was said: who gets which messages, each once, page by page, whatever is filed."""

from __future__ import annotations

import itertools
import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET

from maestro_broker.core.model import records
from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.records import Accepted, Confirmed, Deleted, Expired, Failed, GroupChanged
from maestro_broker.server import message_loader
from maestro_broker.views.history import conversations
from maestro_broker.views.mailbox_scan import scan_mailbox
from maestro_broker.views.spool import Spool
from maestro_broker.views.timeline import Timeline
from maestro_schemas.errors import MaestroError
from maestro_schemas.groups import Group, GroupMember
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Metadata
from maestro_schemas.requests import Identity, Messages, Outgoing, Send
from support.offices import Office, evict, key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from maestro_schemas.replies import MessagesReply

FIRST_MS = 1_000_000


class FilingOffice(Office):
    """An office that reads from a real spool."""

    def __init__(self, spool: Spool, limits: Limits) -> None:
        super().__init__(limits)
        self.spool = spool

    def load(self, need: Read, now_ms: int = 0) -> Any:
        if need.kind not in ("mailbox", "pending"):
            return message_loader.load(self.state, self.spool, need)
        self.state.load_mailbox(need.session, scan_mailbox(self.spool, need.session), now_ms)
        return None


class Desk:
    """An office whose records are filed as far as a test says."""

    def __init__(self, root: str, **limits: Any) -> None:
        self.spool = Spool(root, lambda _: None)
        self.office = FilingOffice(self.spool, Limits(rate_limit=0, **limits))
        self.timeline = Timeline(f"{root}/timeline")
        for session in ("ann", "ben", "cid"):
            self.office.start(session, project_id="shop")
        self.office.start("lead", role="orchestrator", project_id="shop")
        self.office.start("eve", project_id="other")
        self.office.start("boss", role="orchestrator", project_id="other")

    @property
    def state(self) -> Any:
        return self.office.state

    def file(self, count: int | None = None) -> None:
        """File the oldest `count` records, and forget what memory need not have."""
        changes = self.office.unfiled[:count]
        for change in changes:
            record = change.record
            match record:
                case Accepted():
                    assert change.message is not None
                    for delivery in (change.message, *change.more):
                        self.spool.write_message(delivery)
                    self.spool.file_sent(record)
                case Failed(message):
                    self.spool.write_failed(message)
                case Confirmed() | Expired() if change.message is not None:
                    self.spool.write_message(change.message)
                case Deleted():
                    self.spool.remove_message(record.mailbox, record.id)
            self.timeline.append(records.events(change.lsn, record))
        self.state.filed(changes)
        del self.office.unfiled[: len(changes)]
        for mailbox in self.state.mailboxes.values():
            evict(mailbox, self.office.now_ms)

    def group(self, name: str, *members: str, created_at: int | None = None) -> None:
        """Make a group, or change its members: they join now."""
        old = self.state.groups.get(name)
        joined = {member.session: member for member in (old.members if old is not None else ())}
        now_ms = self.office.now_ms
        found = tuple(joined.get(member, GroupMember(member, now_ms)) for member in members)
        made_ms = old.created_at if old is not None else now_ms if created_at is None else created_at
        made = Group(name=name, project_id="shop", creator="lead", created_at=made_ms, members=found)
        self.state.apply(GroupChanged(now_ms, "lead", made), None)
        self.office.commit()

    def say(self, sender: str, to: str | list[str], key: str, **fields: Any) -> None:
        self.office.now_ms += 1
        self.office.accept(sender, to, key, f"text of {key}", **fields)

    def page(self, who: str | None = None, **request: Any) -> MessagesReply:
        asked = Messages(who=Identity(who) if who != "operator" else Identity(operator=True), **request)
        head, now_ms = self.state.lsn, self.office.now_ms
        unfiled = deque(self.office.unfiled)
        return conversations.page(self.state, self.spool, self.timeline, unfiled, asked, head=head, now_ms=now_ms)

    def keys(self, who: str | None = None, **request: Any) -> list[str]:
        return [key_of(said.message.id) for said in self.page(who, **request).messages]

    def pages(self, who: str | None, cursor: str, limit: int, **request: Any) -> list[MessagesReply]:
        """All pages, from the newest back (`before`), or from the oldest on (`after`)."""
        found = [self.page(who, limit=limit, **request, **({"after": 0} if cursor == "after" else {}))]
        while found[-1].has_more:
            at = found[-1].before if cursor == "before" else found[-1].up_to
            found.append(self.page(who, limit=limit, **request, **{cursor: at}))
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(str(tmp_path))


def refused(desk: Desk, who: str | None = None, **request: Any) -> MaestroError:
    with pytest.raises(MaestroError) as raised:
        desk.page(who, **request)
    return raised.value


# --- who gets what ---------------------------------------------------------------------------------------------


@pytest.fixture(params=[0, 9, None], ids=["in memory", "mixed", "filed"])
def filed(request: pytest.FixtureRequest, desk: Desk) -> Callable[[], None]:
    """Files what there is as far as the case says."""
    return partial(desk.file, request.param)


def test_each_role_gets_what_it_may_see_and_each_message_once(desk: Desk, filed: Callable[[], None]) -> None:
    desk.say("ann", "ben", "m1")
    desk.say("lead", ["ann", "ben", "cid"], "m2")
    desk.say("boss", "ann", "m3")
    desk.say("eve", "boss", "m4")
    desk.say("ben", "ben", "m5")
    filed()
    assert desk.keys() == desk.keys("operator") == ["m1", "m2", "m3", "m4", "m5"]
    assert desk.keys("ann") == ["m1", "m2", "m3"]
    assert desk.keys("ben") == ["m1", "m2", "m5"]
    assert desk.keys("cid") == ["m2"]
    assert desk.keys("lead") == ["m1", "m2", "m5"]
    assert desk.keys("eve") == ["m4"]
    # What left its project is not another orchestrator's to see.
    assert desk.keys("boss") == ["m3", "m4"]


def test_a_receiver_gets_its_own_delivery_and_the_sender_all_receivers(desk: Desk, filed: Callable[[], None]) -> None:
    desk.say("lead", ["ann", "ben", "cid"], "m1")
    filed()
    [seen] = desk.page("ben").messages
    assert (seen.message.receiver, seen.message.text, seen.receivers) == ("ben", "text of m1", ())
    for who in ("lead", None):
        [seen] = desk.page(who).messages
        assert (seen.message.receiver, seen.receivers) == ("ann", ("ann", "ben", "cid"))
    [seen] = desk.page("lead", peer="cid").messages
    assert seen.message.receiver == "cid"
    reply = desk.page("lead")
    assert set(reply.people) == {"lead", "ann", "ben", "cid"}
    assert (reply.session, reply.peer) == ("lead", None)


def test_counts_say_what_became_of_each_delivery(desk: Desk) -> None:
    desk.office.limits = desk.state.limits = Limits(rate_limit=0, pending_max=2)
    desk.say("eve", "eve", "full1")
    desk.say("eve", "eve", "full2")
    desk.say("lead", ["ann", "ben", "cid", "eve"], "m1")
    ids = desk.office.named(["m1"])
    desk.office.confirm("ann", "read", *ids)
    desk.office.confirm("ben", "delivered", *ids)
    for _ in range(2):
        [said] = desk.page("lead", counts=True).messages
        assert said.counts == {"read": 1, "delivered": 1, "pending": 1, "refused": 1}
        [own] = desk.page("ann", counts=True).messages
        assert (own.counts, own.message.status) == (UNSET, "read")
        desk.file()
    # Of a deleted delivery the others are left; who else refused is the sender's to know.
    desk.office.delete("ann", *ids)
    [said] = desk.page("lead", counts=True).messages
    assert (said.message.receiver, said.counts) == ("ben", {"deleted": 1, "delivered": 1, "pending": 1, "refused": 1})
    desk.office.delete("ben", *ids)
    desk.office.delete("cid", *ids)
    assert desk.keys("lead") == []
    desk.file()
    assert desk.keys("lead") == []


def test_what_expired_is_shown_as_that(desk: Desk) -> None:
    desk.say("ann", "ben", "m1", ttl_ms=5)
    desk.office.now_ms += 10
    assert [said.message.status for said in desk.page("ann").messages] == ["expired"]


def test_what_was_refused_for_good_is_its_senders(desk: Desk, filed: Callable[[], None]) -> None:
    desk.say("ann", "ben", "m1")
    for to in ("ghost", ["ben", "ghost"]):
        outgoing = Outgoing(id=f"lost{len(to)}", to=to, text="hello")
        desk.office.do(Send(messages=[outgoing], who=Identity("ann"), queued=True))
    filed()
    failed = [said.message for said in desk.page("ann", box="out").messages if said.message.status == "failed"]
    assert [key_of(message.id) for message in failed] == ["lost5", "lost2"]
    assert desk.keys("ann", peer="ben", box="out") == ["m1", "lost2"]
    assert desk.keys("ann", peer="cid") == []
    assert "lost5" not in desk.keys("ann", box="in")
    assert desk.keys("ben") == ["m1"]
    assert {"lost5", "lost2"} <= set(desk.keys("lead"))


# --- with whom -------------------------------------------------------------------------------------------------


def test_a_conversation_is_what_both_have_to_do_with(desk: Desk, filed: Callable[[], None]) -> None:
    desk.say("ann", "ben", "m1")
    desk.say("ben", "ann", "m2")
    desk.say("ann", "cid", "m3")
    desk.say("lead", ["ann", "ben"], "m4")
    desk.say("lead", ["ann", "cid"], "m5")
    desk.say("ann", ["ben", "cid"], "m6")
    desk.say("cid", ["ben", "lead"], "m7")
    filed()
    assert desk.keys("ann", peer="ben") == desk.keys("ben", peer="ann") == ["m1", "m2", "m4", "m6"]
    assert desk.keys("lead", peer="ann") == ["m4", "m5"]
    # Of the operator, everything that one sent or got; with its session, what that one would get.
    assert desk.keys(peer="ben") == ["m1", "m2", "m4", "m6", "m7"]
    assert desk.keys(peer="ben", session="cid") == ["m6", "m7"]
    assert desk.keys(session="lead", peer="lead") == ["m4", "m5", "m7"]
    assert desk.keys(peer="ben", box="out") == ["m2"]
    assert desk.keys(peer="ben", box="in") == ["m1", "m4", "m6", "m7"]
    assert desk.keys("ann", peer="ben", box="in") == ["m2", "m4"]
    assert desk.keys("ben", box="out") == ["m2"]


def test_who_else_got_a_message_is_known_of_those_that_one_may_write_to(desk: Desk) -> None:
    """The operator writes to workers of two projects, who can't write to each other."""
    desk.say("boss", ["ann", "ben", "eve"], "m1")
    assert desk.keys("ann", peer="ben") == ["m1"]
    assert desk.keys("ann", peer="eve") == []
    assert desk.keys("boss", peer="eve") == ["m1"]


def test_the_mail_of_the_operator_and_of_the_post_office(desk: Desk) -> None:
    desk.say("ann", "operator", "m1")
    desk.say("ben", "ann", "m2")
    desk.office.do(Send(messages=[Outgoing(id="m3", to="ann", text="hello")], who=Identity(operator=True)))
    desk.office.do(Send(messages=[Outgoing(id="lost", to="ghost", text="x")], who=Identity("ben"), queued=True))
    assert desk.keys("operator", box="in") == ["m1"]
    assert desk.keys("operator", box="out") == ["m3"]
    assert desk.keys("operator", session="operator", peer="ann") == ["m1", "m3"]
    assert desk.keys("ann", peer="operator") == ["m1", "m3"]
    [notice] = desk.page("ben", peer="maestro").messages
    assert notice.message.sender == "maestro"
    assert desk.page("ben", peer="maestro").peer == "maestro"


def test_an_orchestrator_looks_at_the_mail_of_a_session_as_far_as_it_may(desk: Desk) -> None:
    desk.say("ann", "ben", "m1")
    desk.say("ann", "boss", "m2")
    assert desk.keys("lead", session="ann") == ["m1"]
    assert desk.keys(session="ann") == ["m1", "m2"]
    assert desk.page(session="ann").session == "ann"
    assert refused(desk, "ben", session="ann").code == "FORBIDDEN"


def test_a_name_means_the_session_that_has_it_now(desk: Desk) -> None:
    desk.office.start("sess_1", name="bob", project_id="shop")
    desk.say("ann", "bob", "m1")
    desk.office.end("sess_1")
    assert desk.page("ann", peer="bob").peer == "sess_1"
    assert desk.keys("ann", peer="bob") == ["m1"]
    desk.office.start("sess_2", name="bob", project_id="shop")
    assert desk.page("ann", peer="bob").peer == "sess_2"
    assert desk.keys("ann", peer="bob") == []
    assert desk.keys("ann", peer="sess_1") == ["m1"]


def test_a_group_is_read_from_the_joining_on(desk: Desk, filed: Callable[[], None]) -> None:
    desk.say("ann", ["ben", "cid"], "m0")
    desk.group("reviews", "ann", "ben")
    desk.say("ann", "@reviews", "m1")
    desk.office.now_ms += 1
    desk.group("reviews", "ann", "ben", "cid")
    desk.say("ben", ["@reviews", "lead"], "m2")
    filed()
    assert desk.keys("cid", peer="@reviews") == ["m2"]
    assert desk.keys("ann", peer="@reviews") == desk.keys("ben", peer="@reviews") == ["m1", "m2"]
    assert desk.keys("lead", peer="@reviews") == desk.keys(peer="@reviews") == ["m1", "m2"]
    assert desk.keys("eve", peer="@reviews") == []
    assert desk.page("ann", peer="@reviews").peer == "@reviews"
    # A member sees that it was said, and not who else has it.
    desk.office.delete("cid", *desk.office.named(["m2"]))
    [said] = desk.page("cid", peer="@reviews", counts=True).messages
    assert (said.receivers, said.counts) == ((), UNSET)
    assert desk.keys(peer="@reviews", session="cid") == ["m2"]
    assert desk.keys("ann", peer="@reviews", box="out") == ["m1"]


def test_an_earlier_group_of_the_name_is_another(desk: Desk) -> None:
    desk.group("reviews", "ann", "ben")
    desk.say("ann", "@reviews", "m1")
    desk.file()
    desk.office.now_ms += 1
    desk.state.groups.clear()
    desk.group("reviews", "ann", "ben")
    desk.say("ann", "@reviews", "m2")
    desk.file()
    for who in ("ann", "lead", None):
        assert desk.keys(who, peer="@reviews") == ["m2"]


# --- pages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_pages_have_each_message_once_whatever_is_filed(tmp_path: Path, limit: int) -> None:
    """Back and forward, for each number of filed records, with several deliveries in a record."""
    desk = Desk(str(tmp_path))
    expected = []
    for number in range(8):
        to: Any = ["ann", "ben", "cid"] if number % 3 == 0 else "ann"
        desk.say("lead", to, f"m{number}")
        expected.append(f"m{number}")
        desk.office.confirm("ann", "read", *desk.office.named([f"m{number}"]))
    desk.say("ben", "cid", "other")
    for _ in range(len(desk.office.unfiled) + 1):
        for who, all_of in (("ann", expected), (None, [*expected, "other"]), ("ben", ["m0", "m3", "m6", "other"])):
            back = desk.pages(who, "before", limit)
            assert _joined(reversed(back)) == all_of
            forward = desk.pages(who, "after", limit)
            assert _joined(forward) == all_of
            assert all(len(page.messages) <= limit for page in (*back, *forward))
            assert back[0].up_to == forward[-1].head == desk.state.lsn
        desk.file(1)


def _joined(pages: Any) -> list[str]:
    return [key_of(said.message.id) for page in pages for said in page.messages]


def test_what_comes_later_is_after_the_first_page(desk: Desk) -> None:
    """The cursor of a page is where to go on, whatever was said meanwhile, also if nothing was."""
    desk.say("ann", "ben", "m1")
    first = desk.page("ben")
    assert desk.keys("ben", after=first.up_to) == []
    desk.say("ann", "cid", "x")
    desk.file()
    second = desk.page("ben", after=first.up_to)
    assert second.messages == []
    desk.say("ann", "ben", "m2")
    assert desk.keys("ben", after=second.up_to) == ["m2"]
    assert desk.keys("ben", before=first.up_to + 1) == ["m1"]
    assert desk.page("ben", before=1).messages == []


def test_times_bound_both_directions(desk: Desk, filed: Callable[[], None]) -> None:
    for number in range(6):
        desk.say("ann", "ben", f"m{number}")
    filed()
    at = [said.message.created_at for said in desk.page("ann").messages]
    for cursor in ({}, {"after": 0}):
        assert desk.keys("ann", since=at[2], until=at[4], **cursor) == ["m2", "m3"]
        assert desk.keys("ann", since=at[4], **cursor) == ["m4", "m5"]
        assert desk.keys("ann", until=at[1], **cursor) == ["m0"]
        assert desk.page("ann", since=at[5] + 1, **cursor).has_more is False


def test_one_call_does_a_bounded_amount_of_work(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at few lines, decodes few, and reads few files; the next call goes on."""
    desk.say("ben", "cid", "m0")
    for number in range(1, 40):
        desk.say("ann", ["ben", "cid"] if number % 4 == 0 else "ben", f"m{number}")
    expected = [f"m{number}" for number in range(40)]
    for name, low in (("_BLOCKS_MAX", 1), ("_EVENTS_MAX", 5), ("_FILES_MAX", 2)):
        for cursor in ("before", "after"):
            with monkeypatch.context() as patched:
                patched.setattr(conversations, name, low)
                for counts in (False, True):
                    pages = desk.pages(None, cursor, 100, counts=counts)
                    ordered = reversed(pages) if cursor == "before" else pages
                    assert _joined(ordered) == expected
                    assert name == "_BLOCKS_MAX" or len(pages) > 5
                # Of a session with little mail, pages may be empty.
                assert "m0" in _joined(desk.pages("cid", cursor, 100))
        desk.file(20)


def test_long_timelines_are_passed_over_undecoded(desk: Desk) -> None:
    """A session with one message among thousands of lines finds it, in pages that may be empty."""
    desk.say("cid", "ben", "m1")
    for number in range(400):
        desk.say("lead", ["ann", "ben"], f"x{number}")
    desk.file()
    for number in range(3_000):
        desk.say("ann", "lead", f"y{number}")
    desk.file()
    desk.say("ann", "lead", "last")
    pages = desk.pages("cid", "before", 10)
    assert _joined(reversed(pages)) == ["m1"]
    assert _joined(desk.pages("cid", "after", 10)) == ["m1"]
    assert len(desk.page(before=3_000).messages) == conversations._FILES_MAX


def test_a_page_is_no_larger_than_a_reply(desk: Desk) -> None:
    desk.office.limits = desk.state.limits = Limits(rate_limit=0, reply_bytes_max=65_536)
    for number in range(6):
        desk.office.accept("ann", ["ben", "cid"], f"m{number}", "é" * 9_000, metadata=Metadata(data="x" * 100))
    for cursor in ("before", "after"):
        pages = desk.pages("ann", cursor, 100)
        assert [len(page.messages) for page in pages] == [1] * 6
        assert sorted(_joined(pages)) == [f"m{number}" for number in range(6)]


def test_an_id_that_was_used_again_is_another_message(tmp_path: Path) -> None:
    """After the retention the id is free, and the timeline may still have the line of the first one."""
    root = str(tmp_path)
    desk = Desk(root)
    desk.say("ann", "ben", "m1")
    [old] = desk.page().messages
    desk.office.delete("ben", old.message.id)
    desk.file()
    os.unlink(os.path.join(root, "messages", "by-sender", "ann", f"{old.message.id}.json"))
    desk.say("ann", "ben", "m1")
    for _ in range(2):
        assert [said.lsn > old.lsn for said in desk.page().messages] == [True]
        desk.file()


# --- refusals --------------------------------------------------------------------------------------------------


def test_nonsense_is_refused_with_both_numbers(desk: Desk) -> None:
    desk.say("ann", "ben", "m1")
    wrong: list[tuple[dict[str, Any], int, int]] = [
        ({"limit": 0}, 1, 0),
        ({"before": 0}, 1, 0),
        ({"after": -1}, 0, -1),
    ]
    for request, limit, actual in wrong:
        error = refused(desk, None, **request)
        assert (error.code, error.limit, error.actual) == ("INVALID", limit, actual)
    head = desk.state.lsn
    ahead: list[dict[str, Any]] = [{"before": head + 2}, {"after": head + 1}]
    for request in ahead:
        error = refused(desk, None, **request)
        assert (error.code, error.limit, error.actual) == ("CURSOR_AHEAD", head, head + 1)
    assert refused(desk, before=2, after=1).code == "INVALID"
    assert refused(desk, since=5, until=5).code == "INVALID"
    assert refused(desk, box="in").code == "INVALID"
    assert refused(desk, "ghost").code == "UNKNOWN_SESSION"
    assert refused(desk, "ann", peer="ghost").code == "SESSION_NOT_FOUND"
    assert refused(desk, session="ghost").code == "SESSION_NOT_FOUND"


def test_only_a_group_has_a_log(desk: Desk) -> None:
    desk.group("reviews", "ann")
    for address in ("@all", "@workers", "@project:shop", "@children"):
        error = refused(desk, "ann", peer=address)
        assert (error.code, address in error.message) == ("INVALID", True)
    error = refused(desk, "ann", peer="@review")
    assert error.code == "GROUP_NOT_FOUND"
    assert "@reviews" in error.hint


def test_a_cursor_whose_lines_were_removed_is_reported(tmp_path: Path) -> None:
    desk = Desk(str(tmp_path))
    for number in range(3):
        desk.office.now_ms += 86_400_000
        desk.say("ann", "ben", f"m{number}")
    desk.file()
    # As a broker that was started since, with none of them in memory.
    desk.timeline.close()
    desk.timeline = Timeline(str(tmp_path / "timeline"))
    for path in desk.timeline.files_before(desk.office.now_ms)[:2]:
        os.unlink(path)
    error = refused(desk, after=0)
    assert (error.code, error.actual) == ("CURSOR_EXPIRED", 0)
    assert desk.keys() == ["m1", "m2"]
    assert desk.keys(after=(error.details or {})["oldest"]) == ["m1", "m2"]


def test_pages_agree_with_a_plain_filter(desk: Desk) -> None:
    """Every pair of sessions, in each box, against the rule said in one line."""
    names = ["ann", "ben", "cid", "lead"]
    said = []
    for number, (sender, size) in enumerate(itertools.product(names, (1, 2, 3))):
        to = [name for name in names if name != sender][:size]
        desk.say(sender, to if size > 1 else to[0], f"m{number}")
        said.append((f"m{number}", sender, to))
    desk.file(20)
    for own, peer in itertools.permutations(names, 2):
        both = [key for key, sender, to in said if {own, peer} <= {sender, *to}]
        assert desk.keys(own, peer=peer) == both
        assert desk.keys(session=own, peer=peer) == both
    for own in ("ann", "ben", "cid"):
        assert desk.keys(own) == [key for key, sender, to in said if own in (sender, *to)]
        assert desk.keys(own, box="in") == [key for key, _, to in said if own in to]
        assert desk.keys(own, box="out") == [key for key, sender, _ in said if own == sender]


# --- one project -----------------------------------------------------------------------------------------------


def test_a_project_has_what_its_sessions_sent_and_got(desk: Desk, filed: Callable[[], None]) -> None:
    desk.say("ann", "ben", "m1")
    desk.say("eve", "boss", "m2")
    desk.say("boss", ["ann", "eve"], "m3")
    desk.office.do(Send(messages=[Outgoing(id="lost", to="ghost", text="hello")], who=Identity("eve"), queued=True))
    desk.say("eve", "operator", "m4")
    filed()
    assert desk.keys(project_id="shop") == ["m1", "m3"]
    # The notice of the refusal is its mail too.
    found = [key for key in desk.keys(project_id=" other ") if not key.startswith("refused_")]
    assert found == ["m2", "m3", "lost", "m4"]
    assert desk.keys(project_id="none") == []
    assert desk.keys("eve", project_id="shop") == ["m3"]
    assert desk.keys("boss", project_id="other", box="out") == ["m3"]
