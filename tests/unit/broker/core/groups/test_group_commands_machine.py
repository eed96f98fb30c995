"""Groups against a model: whatever changes in whatever order, with crashes anywhere.

Invariants: the groups are those of the model, before and after a crash; a message to a group goes to its active
members but the sender, and a repeat has the same list; a group's log has what was sent since it was made, once.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from maestro_broker.core.model.reads import Read
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.requests import GroupDelete, GroupSet, Identity
from support.offices import Office

WORKERS = ("ann", "bob", "cyd")
SESSIONS = ("lead", *WORKERS, "far")
GROUPS = ("reviews", "docs")
LIMITS = Limits(
    rate_limit=0, change_limit=0, start_limit=0, group_members_max=4, groups_max=2, fanout_limit=0, group_limit=0
)

some_sessions = st.lists(st.sampled_from(SESSIONS), max_size=2, unique=True)


class Groups(RuleBasedStateMachine):
    """A model beside an office. `lead` leads ann, bob and cyd; far is a worker of another project."""

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(LIMITS)
        self.office.start("lead", role="orchestrator", project_id="shop")
        for name in WORKERS:
            self.office.start(name, project_id="shop")
        self.office.start("far", project_id="blog")
        self.active = dict.fromkeys(SESSIONS, True)
        # By group: its creator and its members, in the order of their joining.
        self.groups: dict[str, tuple[str, list[str]]] = {}
        # By group, the ids of what was sent to it since it was made.
        self.logs: dict[str, list[str]] = {}
        # By message, its sender, its group and its receivers.
        self.sent: dict[str, tuple[str, str, list[str]]] = {}

    def _asked(self, request: Any) -> str:
        """The outcome: `ok`, or the error's code. A refused request changes nothing."""
        before = len(self.office.journal)
        try:
            self.office.do(request)
        except MaestroError as error:
            assert all(b"group" not in body for body in self.office.journal[before:])
            return error.code
        return "ok"

    def _may_add(self, who: str, group: str, creator: str, added: str) -> bool:
        if who == added:
            return who != "far"
        return who == "lead" or (who == creator and added != "far")

    @rule(who=st.sampled_from(SESSIONS), group=st.sampled_from(GROUPS), add=some_sessions)
    def create(self, who: str, group: str, add: list[str]) -> None:
        outcome = self._asked(GroupSet(name=group, create=True, add=add, who=Identity(who)))
        project_is_far = who == "far"
        if not self.active[who]:
            assert outcome == "SESSION_ENDED"
        elif group in self.groups:
            creator, members = self.groups[group]
            is_repeat = creator == who and set(add) <= set(members)
            assert outcome == "ok" if is_repeat else outcome in ("CONFLICT", "ROLE_FORBIDDEN", "FORBIDDEN")
        elif any(each not in ("lead", who) and (each == "far") != project_is_far for each in add) and who != "lead":
            assert outcome == "ROLE_FORBIDDEN"
        else:
            assert outcome == "ok", outcome
            self.groups[group] = (who, add)
            self.logs[group] = []

    @rule(who=st.sampled_from(SESSIONS), group=st.sampled_from(GROUPS), add=some_sessions, remove=some_sessions)
    def change(self, who: str, group: str, add: list[str], remove: list[str]) -> None:
        outcome = self._asked(GroupSet(name=group, add=add, remove=remove, who=Identity(who)))
        if group not in self.groups:
            assert outcome == "GROUP_NOT_FOUND"
            return
        creator, members = self.groups[group]
        joined = [each for each in add if each not in members]
        left = [each for each in remove if each in members]
        after = [each for each in members if each not in left] + joined
        if outcome == "ok":
            assert set(left).isdisjoint(add)
            assert self.active[who] or (not joined and set(left) <= {who})
            if creator != "far":
                assert all(self._may_add(who, group, creator, each) for each in joined)
                assert all(who in (each, creator, "lead") for each in left)
            assert len(after) <= LIMITS.group_members_max or after == members
            self.groups[group] = (creator, after)
        elif creator != "far" and self.active[who] and set(left).isdisjoint(add):
            is_forbidden = not all(self._may_add(who, group, creator, each) for each in joined)
            is_forbidden = is_forbidden or not all(who in (each, creator, "lead") for each in left)
            if is_forbidden:
                assert outcome in ("FORBIDDEN", "ROLE_FORBIDDEN")
            else:
                assert (outcome, len(after) > LIMITS.group_members_max) == ("TOO_MANY", True)

    @rule(who=st.sampled_from(SESSIONS), group=st.sampled_from(GROUPS))
    def delete(self, who: str, group: str) -> None:
        outcome = self._asked(GroupDelete(name=group, who=Identity(who)))
        if group not in self.groups:
            assert outcome == "GROUP_NOT_FOUND"
        elif not self.active[who]:
            assert outcome == "SESSION_ENDED"
        else:
            creator, _ = self.groups[group]
            leads = who == creator or (who == "lead" and creator != "far")
            assert outcome == ("ok" if leads else "FORBIDDEN")
            if outcome == "ok":
                del self.groups[group], self.logs[group]

    @rule(who=st.sampled_from(SESSIONS), group=st.sampled_from(GROUPS))
    def send(self, who: str, group: str) -> None:
        if not self.active[who]:
            return
        key = f"m{len(self.sent)}"
        result = self.office.send(who, [f"@{group}"], key)
        creator, members = self.groups.get(group, ("", []))
        reached = [each for each in members if self.active[each] and each != who]
        reached = [each for each in reached if "lead" in (who, each) or (who == "far") == (each == "far")]
        if group not in self.groups:
            assert isinstance(result.error, dict)
            assert result.error["code"] == "GROUP_NOT_FOUND"
        elif who not in ("lead", creator, *members):
            assert isinstance(result.error, dict)
            assert result.error["code"] == "FORBIDDEN"
        elif not reached:
            assert isinstance(result.error, dict)
            assert result.error["code"] == "NO_RECEIVERS"
        else:
            assert [each.to for each in result.recipients] == reached
            self.sent[key] = (who, group, reached)
            self.logs[group].append(result.id)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """The list of receivers is the frozen one, whatever became of the group."""
        keys = [key for key, (sender, _, _) in self.sent.items() if self.active[sender]]
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        sender, group, receivers = self.sent[key]
        result = self.office.send(sender, [f"@{group}"], key)
        assert (result.status, [each.to for each in result.recipients]) == (200, receivers)

    @rule(who=st.sampled_from(SESSIONS))
    def end_or_start(self, who: str) -> None:
        """A member that has ended stays one."""
        if self.active[who]:
            self.office.end(who)
        else:
            self.office.start(who)
        self.active[who] = not self.active[who]

    @rule(count=st.integers(0, 5))
    def file(self, count: int) -> None:
        self.office.file(count)

    @rule()
    def checkpoint(self) -> None:
        self.office.make_checkpoint()

    @rule()
    def crash(self) -> None:
        self.office.crash()

    @rule(step_ms=st.integers(0, 5))
    def wait(self, step_ms: int) -> None:
        self.office.now_ms += step_ms

    @invariant()
    def the_groups_are_those_of_the_model(self) -> None:
        groups = self.office.state.groups
        found = {name: (group.creator, [each.session for each in group.members]) for name, group in groups.items()}
        assert found == self.groups

    @invariant()
    def the_logs_are_those_of_the_model(self) -> None:
        for name, ids in self.logs.items():
            filed: list[str] = self.office.load(Read("group", "", name))
            # Links of an earlier group of the name stay until its deletion is filed; the log leaves them out.
            logged = {*filed, *self.office.state.unfiled_of_group(name)}
            assert set(ids) <= logged
            if not self.office.unfiled:
                assert logged == set(ids)


TestGroups = Groups.TestCase
TestGroups.settings = settings(deadline=None, stateful_step_count=40)
