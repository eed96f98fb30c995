"""Group commands: groups are made, changed, deleted and found; a repeat changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from maestro_broker.core.model import records
from maestro_broker.core.model.records import GroupChanged, GroupDeleted, SessionForgotten
from maestro_broker.core.model.state import State
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.replies import GroupReply, GroupShown
from maestro_schemas.requests import GroupDelete, GroupGet, GroupList, GroupSet, Identity
from support.offices import Office, refused

DAY_MS = 24 * 3_600_000


def _office(**limits: Any) -> Office:
    found = Office(Limits(**limits))
    found.start("lead", role="orchestrator", project_id="shop")
    found.start("other", role="orchestrator", project_id="blog")
    for name in ("ann", "bob", "cyd"):
        found.start(name, project_id="shop", name=f"{name}-name")
    found.start("far", project_id="blog")
    return found


@pytest.fixture
def office() -> Office:
    return _office()


def _set(who: str | None, name: str = "reviews", **fields: Any) -> GroupSet:
    return GroupSet(name=name, who=Identity(who), **fields)


def _create(office: Office, who: str | None = "ann", *members: str, **fields: Any) -> GroupReply:
    reply: GroupReply = office.do(_set(who, create=True, add=list(members), **fields))
    return reply


def _members(reply: GroupReply) -> list[str]:
    assert reply.group.members is not UNSET
    return [member.session for member in reply.group.members]


def _records(office: Office) -> list[records.Record]:
    """Those about groups."""
    found = [records.decode(body) for body in office.journal]
    return [record for record in found if isinstance(record, GroupChanged | GroupDeleted)]


def test_a_group_is_made_with_members_by_id_and_by_name(office: Office) -> None:
    reply = _create(office, "ann", "bob-name", "cyd", "bob")
    assert (reply.created, reply.added, reply.removed) == (True, ("bob", "cyd"), ())
    group = reply.group
    assert (group.name, group.project_id, group.creator) == ("reviews", "shop", "ann")
    assert (group.created_at, group.changed_at, group.size, group.active) == (office.now_ms, office.now_ms, 2, 2)
    assert group.members is not UNSET
    assert [(each.session, each.name, each.role, each.active) for each in group.members] == [
        ("bob", "bob-name", "worker", True),
        ("cyd", "cyd-name", "worker", True),
    ]
    assert len(_records(office)) == 1


def test_a_creator_is_no_member_by_that(office: Office) -> None:
    """A group may be empty at first, and its name may be given as the address that it is."""
    assert _members(_create(office, "ann", name="@reviews")) == []
    assert list(office.state.groups) == ["reviews"]
    assert _members(office.do(_set("ann", "@reviews", add=["ann"]))) == ["ann"]
    assert _members(office.do(GroupGet(name="@reviews"))) == ["ann"]


def test_the_same_again_is_no_record(office: Office) -> None:
    """Whatever was done: made, joined, left; also after others have joined."""
    _create(office, "ann", "bob", "cyd")
    first = _records(office)
    again = _create(office, "ann", "cyd", "bob-name")
    assert (again.created, again.added, _members(again)) == (False, (), ["bob", "cyd"])
    nothing: list[dict[str, Any]] = [{}, {"add": ["bob"]}, {"remove": ["ann", "lead"]}]
    for fields in nothing:
        reply = office.do(_set("ann", **fields))
        assert (reply.created, reply.added, reply.removed, _members(reply)) == (False, (), (), ["bob", "cyd"])
    assert _records(office) == first
    office.do(_set("lead", add=["lead"]))
    assert _members(_create(office, "ann", "bob")) == ["bob", "cyd", "lead"]


@pytest.mark.parametrize(
    ("who", "members", "fields"),
    [
        ("bob", [], {}),
        ("lead", ["bob"], {}),
        (None, ["bob"], {"project_id": "shop"}),
        ("ann", ["bob", "cyd"], {}),
        ("ann", [], {"remove": ["bob"]}),
    ],
)
def test_another_group_of_the_name_is_a_conflict(
    office: Office, who: str | None, members: list[str], fields: dict[str, Any]
) -> None:
    """Of another creator, or with other members: a late repeat undoes nothing."""
    _create(office, "ann", "bob")
    error = refused(office, _set(who, create=True, add=members, **fields))
    assert (error.code, "group add reviews" in error.hint) == ("CONFLICT", True)
    assert len(_records(office)) == 1


def test_a_group_of_another_project_is_a_conflict(office: Office) -> None:
    _create(office, "lead", project_id="blog")
    error = refused(office, _set("lead", create=True))
    assert error.code == "CONFLICT"
    assert "blog" in error.message


def test_the_operators_groups_are_of_their_members_project(office: Office) -> None:
    """If they are of one, else of the default one."""
    assert _create(office, None).group.project_id == "default"
    assert office.do(_set(None, "others", create=True, project_id=" shop ")).group.project_id == "shop"
    assert office.do(_set(None, "mine", create=True, add=["ann", "bob"])).group.project_id == "shop"
    assert office.do(_set(None, "both", create=True, add=["ann", "far"])).group.project_id == "default"
    assert {group.creator for group in office.state.groups.values()} == {"operator"}


@pytest.mark.parametrize(
    "name", ["", "all", "workers", "operator", "maestro", "Reviews", "a b", "-x", "x" * 33, "@@x"]
)
def test_what_can_not_be_a_group(office: Office, name: str) -> None:
    error = refused(office, _set("ann", name, create=True))
    assert (error.code, error.limit) == ("INVALID", 32)
    assert refused(office, _set("ann", name, add=["ann"])).code == "GROUP_NOT_FOUND"


def test_a_group_that_is_not_there(office: Office) -> None:
    """Each command says which groups are near, and not more than a few."""
    hint = refused(office, GroupGet(name="reviews")).hint
    assert "group create NAME" in hint
    for number in range(12):
        office.do(_set(None, f"team-{number}", create=True))
    _create(office)
    for request in (_set("ann", "revews", add=["ann"]), _set("ann", "revews", remove=["ann"])):
        error = refused(office, request)
        assert (error.code, error.hint.startswith("Did you mean reviews? Groups: ")) == ("GROUP_NOT_FOUND", True)
    assert refused(office, GroupDelete(name="revews")).code == "GROUP_NOT_FOUND"
    error = refused(office, GroupGet(name="\x1b[31m" + "q" * 200))
    assert "and 3 more" in error.hint
    assert "Did you mean" not in error.hint
    assert "\x1b" not in error.message
    assert len(error.message) < 130


def test_who_may_make_a_group(office: Office) -> None:
    error = refused(office, _set("ann", create=True, project_id="blog"))
    assert error.code == "FORBIDDEN"
    assert _create(office, "lead", project_id="blog").group.project_id == "blog"
    office.end("ann")
    assert refused(office, _set("ann", "mine", create=True)).code == "SESSION_ENDED"
    assert refused(office, _set("ghost", "mine", create=True)).code == "UNKNOWN_SESSION"


def test_who_may_join_and_leave(office: Office) -> None:
    """A worker in its own project, an orchestrator everywhere; each may leave, and so may an ended session."""
    _create(office, "ann")
    for who in ("cyd", "lead", "other"):
        assert office.do(_set(who, add=[who])).added == (who,)
    error = refused(office, _set("far", add=["far"]))
    assert (error.code, "orchestrator" in error.hint) == ("FORBIDDEN", True)
    office.end("cyd")
    assert refused(office, _set("cyd", add=["cyd", "ann"])).code == "SESSION_ENDED"
    for who in ("cyd", "other"):
        assert office.do(_set(who, remove=[who])).removed == (who,)
    assert refused(office, _set("cyd", add=["cyd"])).code == "SESSION_ENDED"
    assert _members(office.do(GroupGet(name="reviews"))) == ["lead"]


@pytest.mark.parametrize("who", ["ann", "lead", None])
def test_who_may_change_others(office: Office, who: str | None) -> None:
    """The creator, an orchestrator of the project, the operator."""
    _create(office, "ann")
    assert office.do(_set(who, add=["bob", "other"])).added == ("bob", "other")
    assert office.do(_set(who, add=["cyd"], remove=["bob"])).removed == ("bob",)
    assert office.do(GroupDelete(name="reviews", who=Identity(who))).size == 2
    assert office.state.groups == {}


@pytest.mark.parametrize("who", ["bob", "other", "far"])
def test_who_may_not(office: Office, who: str) -> None:
    _create(office, "ann", "bob", "cyd")
    for request in (
        _set(who, add=["lead"]),
        _set(who, remove=["cyd"]),
        GroupDelete(name="reviews", who=Identity(who)),
    ):
        error = refused(office, request)
        assert error.code == "FORBIDDEN"
        assert "ann, who made it, or an orchestrator of project shop" in error.hint
    assert len(_records(office)) == 1


def test_the_hint_names_no_creator_where_it_was_the_operator(office: Office) -> None:
    _create(office, None, project_id="shop")
    hint = refused(office, _set("bob", add=["ann"])).hint
    assert hint.startswith("Ask an orchestrator of project shop. ")


def test_a_worker_lets_no_session_in_that_it_may_not_write_to(office: Office) -> None:
    """A member reads what the others write."""
    _create(office, "ann")
    assert refused(office, _set("ann", add=["far"])).code == "ROLE_FORBIDDEN"
    assert office.do(_set("lead", add=["far"])).added == ("far",)
    assert office.do(_set("ann", add=["far"])).added == (), "it is one already"
    assert refused(office, _set("ann", "new", create=True, add=["bob", "far"])).code == "ROLE_FORBIDDEN"


def test_an_ended_session_changes_no_others(office: Office) -> None:
    _create(office, "ann", "bob")
    office.end("ann")
    for request in (
        _set("ann", add=["cyd"]),
        _set("ann", remove=["bob"]),
        GroupDelete(name="reviews", who=Identity("ann")),
    ):
        assert refused(office, request).code == "SESSION_ENDED"


def test_the_operator_is_no_member(office: Office) -> None:
    _create(office, None)
    error = refused(office, _set(None, add=["operator"]))
    assert (error.code, "--to @reviews --to operator" in error.hint) == ("INVALID", True)


@pytest.mark.parametrize("fields", [{"add": ["ghost"]}, {"remove": ["ghost"]}])
def test_all_or_none(office: Office, fields: dict[str, Any]) -> None:
    _create(office, "ann", "bob")
    error = refused(office, _set("ann", **{"add": ["cyd"], **fields}))
    assert error.code == "SESSION_NOT_FOUND"
    assert _members(office.do(GroupGet(name="reviews"))) == ["bob"]


def test_what_makes_no_sense(office: Office) -> None:
    _create(office, "ann", "bob")
    assert refused(office, _set("ann", add=["bob"], remove=["bob-name"])).code == "INVALID"
    assert refused(office, _set("ann", project_id="shop")).code == "INVALID"
    assert refused(office, _set(None, "new", create=True, project_id="\n")).code == "INVALID"
    for limit in (0, -1):
        assert refused(office, GroupList(limit=limit)).code == "INVALID"


def test_a_member_that_has_ended_is_found_by_its_name(office: Office) -> None:
    """Also where an active session that is no member has taken over the name."""
    _create(office, "ann", "bob", "cyd")
    office.end("bob")
    reply = office.do(GroupGet(name="reviews"))
    assert (reply.group.size, reply.group.active) == (2, 1)
    office.start("bob2", project_id="shop", name="bob-name")
    assert office.do(_set("ann", remove=["bob2"])).removed == ()
    assert office.do(_set("ann", remove=["bob-name"])).removed == ("bob",)
    assert office.do(_set("ann", add=["bob-name"])).added == ("bob2",)
    assert office.do(_set("ann", remove=["bob-name", "bob2"])).removed == ("bob2",)


def test_both_numbers_of_a_limit(office: Office) -> None:
    office = _office(groups_max=2, group_members_max=2)
    _create(office, "ann", "bob", "cyd")
    error = refused(office, _set("lead", add=["lead"]))
    assert (error.code, error.limit, error.actual) == ("TOO_MANY", 2, 3)
    assert office.do(_set("ann", add=["ann"], remove=["bob"])).added == ("ann",)
    error = refused(office, _set("ann", add=["bob", "cyd"], remove=["lead"]))
    assert (error.code, error.limit, error.actual) == ("TOO_MANY", 2, 3)
    office.do(_set("ann", "second", create=True))
    error = refused(office, _set("ann", "third", create=True))
    assert (error.code, error.limit, error.actual) == ("TOO_MANY", 2, 3)
    office.do(GroupDelete(name="second"))
    office.do(_set("ann", "third", create=True))


def test_changes_are_counted_and_repeats_are_not() -> None:
    office = _office(change_limit=2)
    _create(office, "ann", "bob")
    for _ in range(3):
        office.do(_set("ann", add=["bob"]))
    office.do(_set("ann", add=["cyd"]))
    error = refused(office, _set("ann", remove=["cyd"]))
    assert (error.code, error.limit, error.actual) == ("RATE_LIMITED", 2, 3)
    assert refused(office, GroupDelete(name="reviews", who=Identity("ann"))).code == "RATE_LIMITED"
    for who in ("cyd", None):
        office.do(_set(who, remove=["cyd"]))
    office.now_ms += 60_001
    office.do(GroupDelete(name="reviews", who=Identity("ann")))


def test_without_space_nothing_changes(office: Office) -> None:
    _create(office, "ann", "bob")
    office.circumstances["back_pressure"] = MaestroError("STORAGE_FULL", "full")
    for request in (_set("ann", add=["cyd"]), _set("ann", "new", create=True), GroupDelete(name="reviews")):
        assert refused(office, request).code == "STORAGE_FULL"
    assert office.do(_set("ann", add=["bob"])).group.size == 1, "what is already so takes no space"


def test_a_list_by_name_project_and_page(office: Office) -> None:
    for name, project in (("b", "shop"), ("a", "blog"), ("c", "shop")):
        office.do(_set(None, name, create=True, project_id=project, add=["bob"]))

    def listed(**fields: Any) -> tuple[list[str], str | None]:
        reply = office.do(GroupList(**fields))
        return [group.name for group in reply.groups], reply.next

    assert listed() == (["a", "b", "c"], None)
    assert listed(project_id="shop ") == (["b", "c"], None)
    assert listed(limit=2) == (["a", "b"], "b")
    assert listed(limit=2, after="b") == (["c"], None)
    assert listed(limit=1, project_id="shop") == (["b"], "b")
    assert listed(after="zzz") == ([], None)
    [first, *_] = office.do(GroupList()).groups
    assert (first.members, first.size, first.active) == (UNSET, 1, 1)
    [first, *_] = office.do(GroupList(members=True)).groups
    assert first.members[0].session == "bob"


def test_a_page_is_bounded_by_its_bytes() -> None:
    office = _office(reply_bytes_max=400)
    for name in "abcd":
        office.do(_set(None, name, create=True, add=["bob"]))
    pages: list[list[GroupShown]] = []
    after = None
    while not pages or after is not None:
        reply = office.do(GroupList(members=True, after=after))
        pages.append(reply.groups)
        after = reply.next
    assert [[group.name for group in page] for page in pages] == [["a"], ["b"], ["c"], ["d"]]


def test_a_member_whose_file_was_lost_is_shown_as_ended(office: Office) -> None:
    _create(office, "ann", "bob")
    office.state.sessions.drop("bob")
    reply = office.do(GroupGet(name="reviews"))
    assert reply.group.members is not UNSET
    [member] = reply.group.members
    assert (member.session, member.name, member.role, member.active) == ("bob", None, None, False)


def test_a_record_says_who_joined_and_who_left(office: Office) -> None:
    """The event says it too, with all members; a deleted group's has its last ones."""
    _create(office, "ann", "bob", "cyd")
    office.do(_set("lead", add=["lead"], remove=["bob"]))
    office.do(GroupDelete(name="reviews"))
    shown = [records.event(number, record) for number, record in enumerate(_records(office), 1)]
    assert [(event.event, event.by, event.members, event.joined, event.left) for event in shown] == [
        ("group.changed", "ann", ("bob", "cyd"), ("bob", "cyd"), ()),
        ("group.changed", "lead", ("cyd", "lead"), ("lead",), ("bob",)),
        ("group.deleted", "operator", ("cyd", "lead"), (), ()),
    ]
    assert {(event.group, event.project_id) for event in shown} == {("reviews", "shop")}
    assert shown[1].parties() == ("cyd", "lead", "bob")


def test_the_largest_record_is_within_its_bound() -> None:
    """256 members with long ids, half of them new: what `record_bytes_max` and disk admission count."""
    office = Office(Limits(start_limit=0, change_limit=0))
    names = [f"{number:03}{'x' * 61}" for number in range(384)]
    for name in names:
        office.start(name)
    office.do(_set(None, create=True, add=names[:256]))
    office.do(_set(None, add=names[256:], remove=names[:128]))
    largest = max(map(len, office.journal))
    assert _set(None).record_bounds(64)[1] * 176 > largest
    office.do(GroupDelete(name="reviews"))
    assert GroupDelete(name="reviews").record_bounds(64)[1] * 176 > len(office.journal[-1])


def test_a_replay_gives_the_same_groups(office: Office) -> None:
    """From the journal, from the files, and from both."""
    _create(office, "ann", "bob", "cyd")
    office.do(_set("ann", "second", create=True, add=["cyd"]))
    office.file(len(office.unfiled) - 1)
    office.make_checkpoint()
    office.do(_set("ann", remove=["cyd"]))
    office.do(GroupDelete(name="second"))
    before = dict(office.state.groups)
    assert list(before) == ["reviews"]
    for count in (0, 1, 2):
        office.file(count)
        office.crash()
        assert office.state.groups == before
        office.make_checkpoint()
        office.crash()
        assert office.state.groups == before


def test_a_forgotten_session_leaves_its_groups_first(office: Office) -> None:
    """What it made becomes the operator's: a later session under its id has no right to it."""
    _create(office, "ann", "bob", "cyd")
    office.do(_set("bob", "bobs", create=True, add=["cyd"]))
    changed_ms = office.state.groups["reviews"].changed_at
    office.end("bob")
    office.now_ms += 8 * DAY_MS
    assert office.sweep() == ["bob"]
    tail = [records.decode(body) for body in office.journal[-3:]]
    assert [type(record) for record in tail] == [GroupChanged, GroupChanged, SessionForgotten]
    assert [(record.by, record.left) for record in tail[:2] if isinstance(record, GroupChanged)] == [
        ("maestro", ("bob",)),
        ("maestro", ()),
    ]
    groups = office.state.groups
    assert [member.session for member in groups["reviews"].members] == ["cyd"]
    assert groups["reviews"].changed_at == changed_ms
    assert (groups["bobs"].creator, len(groups["bobs"].members)) == ("operator", 1)
    office.start("bob", project_id="shop")
    assert refused(office, GroupDelete(name="bobs", who=Identity("bob"))).code == "FORBIDDEN"


def test_the_state_of_a_group_needs_no_session(office: Office) -> None:
    """A new state has none."""
    assert State(Limits(), office.checkpoint).groups == {}
