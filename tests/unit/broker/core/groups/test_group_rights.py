"""Group rights: who sees what was sent to a group."""

from __future__ import annotations

import pytest

from maestro_broker.core.groups import group_rights
from maestro_schemas.groups import Group, GroupMember
from maestro_schemas.messages import Audience, Message
from support.offices import Office

GROUP = Group(
    name="reviews",
    project_id="shop",
    creator="ann",
    created_at=10,
    changed_at=30,
    members=(GroupMember("ann", 10), GroupMember("bob", 20), GroupMember("far", 10), GroupMember("new", 30)),
)


@pytest.fixture
def office() -> Office:
    found = Office()
    found.start("lead", role="orchestrator", project_id="shop")
    found.start("other", role="orchestrator", project_id="blog")
    for name in ("ann", "bob", "cyd", "new"):
        found.start(name, project_id="shop")
    found.start("far", project_id="blog")
    return found


def _sees(office: Office, asking: str | None, at_ms: int, receiver: str = "ann") -> bool:
    message = Message(
        id="m1",
        sender="bob",
        receiver=receiver,
        text="x",
        status="pending",
        seq=1,
        created_at=at_ms,
        audience=Audience(("@reviews",), 2),
    )
    found = office.state.sessions.by_id(asking) if asking is not None else None
    return group_rights.sees(office.state, found, GROUP, message)


@pytest.mark.parametrize(
    ("asking", "since"),
    [(None, 10), ("lead", 10), ("ann", 10), ("new", 30), ("far", None), ("other", None), ("cyd", None)],
)
def test_who_sees_the_log_since_when(office: Office, asking: str | None, since: int | None) -> None:
    """The operator and the project's orchestrators all; a member since it joined, if the sender may write to it; no
    other session."""
    seen = [at_ms for at_ms in (9, 10, 29, 30) if _sees(office, asking, at_ms)]
    assert seen == ([at_ms for at_ms in (10, 29, 30) if at_ms >= since] if since is not None else [])


def test_a_party_sees_its_own(office: Office) -> None:
    """Its sender and its receiver, from before they joined, or after they left; not from an earlier group."""
    assert _sees(office, "bob", 11)
    assert _sees(office, "cyd", 11, "cyd")
    assert not _sees(office, "bob", 9)
