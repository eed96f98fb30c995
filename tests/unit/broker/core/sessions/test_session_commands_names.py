"""Names: who has one, who may take it, and what becomes of a session whose process is gone."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from maestro_broker.core.model import records
from maestro_broker.core.model.records import Refused
from maestro_broker.core.model.signs import Signs
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import NAME_CHARS_MAX, Limits
from maestro_schemas.names import likeness
from maestro_schemas.requests import GroupSet, Identity, SessionEnd, SessionGet, SessionRename, SessionStart
from maestro_schemas.sessions import Session
from support.offices import Office, refused

FREE = Limits(rate_limit=0)
PROCESS = {"pid": 7, "pid_start": "boot/ns/1"}


@pytest.fixture
def office() -> Office:
    """An orchestrator that is named `lead`, and two workers without names."""
    made = Office(FREE)
    made.start("boss", role="orchestrator", name="lead", token="b", **PROCESS)
    made.start("ann", token="a")
    made.start("bob", token="o")
    return made


def end_process(office: Office, *sessions: str) -> None:
    """The recorded processes of these sessions are gone; those of all others run."""
    office.circumstances["signs"] = lambda found, _now_ms: Signs(alive=found.session.id not in sessions)


def started(office: Office, session: str, **fields: object) -> Session:
    found: Session = office.do(SessionStart(id=session, **fields)).session  # type: ignore[arg-type] # any field
    return found


def session(office: Office, name: str) -> Session:
    found: Session = office.do(SessionGet(id=name)).session
    return found


# --- taking what another has -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "who", [Identity(), Identity("ann", "a"), Identity("boss", "b")], ids=["operator", "worker", "itself"]
)
@pytest.mark.parametrize(
    "fields",
    [
        {"id": "lead"},
        {"id": "new", "name": "lead"},
        {"id": "new", "name": "Lead"},
        {"id": "new", "name": " le\u0430d "},
        {"id": "new", "name": "boss"},
        {"id": "new", "name": "ann"},
        {"id": "LEAD"},
    ],
    ids=str,
)
def test_what_an_active_session_has_is_not_given_to_another(
    office: Office, who: Identity, fields: dict[str, str]
) -> None:
    """As its name or as its id, in another case, and in letters that look the same."""
    error = refused(office, SessionStart(who=who, token="t", **fields))  # type: ignore[arg-type] # any field
    assert error.code == "NAME_TAKEN"
    assert isinstance(records.decode(office.journal[-1]), Refused), "nothing but the audit"
    assert error.details is not None
    holder = error.details["id"]
    assert holder == ("ann" if fields.get("name") == "ann" else "boss")
    assert holder in error.message
    assert "--replace" in error.hint
    assert f"--id {holder} --takeover" in error.hint
    office.start("eve")
    assert office.accept("eve", "lead", "m1").to == "boss"


def test_the_refusal_says_who_has_it_since_when_and_whether_its_process_lives(office: Office) -> None:
    office.now_ms += 3 * 3_600_000
    for alive, word, text in (
        (True, "alive", "its process 7 runs"),
        (None, "unknown", "whether its process runs is not known"),
    ):
        office.circumstances["signs"] = lambda *_, alive=alive: Signs(alive=alive)
        error = refused(office, SessionStart(id="new", name="lead"))
        assert error.details == {"id": "boss", "name": "lead", "since": 1_000_000, "process": word}
        for part in ("'lead'", "orchestrator boss", "project default", "for 3 h", text):
            assert part in error.message
    end_process(office, "boss")
    error = refused(office, SessionStart(id="boss", token="x"))
    assert error.details is not None
    assert error.details["process"] == "gone"
    assert "its process 7 has ended" in error.message
    assert "named 'lead'" in error.message


@pytest.mark.parametrize(
    ("age_ms", "text"), [(0, "0 s"), (119_000, "119 s"), (120_000, "2 min"), (2 * 86_400_000, "2 d")]
)
def test_the_age_of_a_name(office: Office, age_ms: int, text: str) -> None:
    office.now_ms += age_ms
    assert f"for {text}," in refused(office, SessionStart(id="new", name="lead")).message


def test_an_active_name_comes_before_an_ended_id(office: Office) -> None:
    """Day two of the tour: `--id bob --name bob` has ended, and another session is named bob."""
    office.end("bob")
    started(office, "new", name="bob", token="n")
    assert session(office, "bob").id == "new"
    # The ended id can't come back as the address of two; by its own token neither.
    for token in ("o", "x"):
        error = refused(office, SessionStart(id="bob", token=token))
        assert error.code == ("NAME_TAKEN" if token == "o" else "TOKEN_MISMATCH")
    office.end("new")
    assert session(office, "bob").id == "bob", "an ended id comes before an ended name"
    assert started(office, "bob", token="o").status == "idle"


def test_an_ended_name_is_found_without_a_search(office: Office) -> None:
    for number in range(3):
        office.now_ms += 1
        started(office, f"w{number}", name="worker", token="t")
        office.end(f"w{number}")
    assert session(office, "worker").id == "w2"
    office.state.sessions.drop("w2")
    assert session(office, "worker").id == "w1"


def test_a_name_is_stored_in_one_form(office: Office) -> None:
    """Blanks at its ends and the decomposed form of a letter make no other name."""
    assert started(office, "new", name=" Zoe\u0308 ").name == "Zo\u00eb"
    for address in ("Zo\u00eb", "Zoe\u0308"):
        assert session(office, address).id == "new"
    assert refused(office, SessionStart(id="other", name="zoe\u0308")).code == "NAME_TAKEN"


# --- replace -----------------------------------------------------------------------------------------------------


def test_the_operator_replaces_the_session_that_has_a_name(office: Office) -> None:
    found = started(office, "new", name="lead", token="n", replace=True)
    assert (found.name, session(office, "lead").id, session(office, "boss").status) == ("lead", "new", "stopped")


def test_the_operator_replaces_a_session_of_the_same_id_and_gets_its_mail(office: Office) -> None:
    office.start("eve")
    office.accept("eve", "bob", "m1")
    office.now_ms += 5
    before = session(office, "bob")
    request = SessionStart(id="bob", token="new", replace=True)
    found = office.do(request).session
    assert (found.status, found.started_at, before.started_at) == ("idle", office.now_ms, office.now_ms - 5)
    assert office.state.mailbox("bob").pending == 1
    changes = len(office.journal)
    office.now_ms += 5
    assert office.do(request).session == found, "a repeat is the same start"
    assert len(office.journal) == changes
    assert refused(office, SessionEnd(who=Identity("bob", "o"))).code == "TOKEN_MISMATCH"


def test_an_id_that_is_anothers_name_is_replaced(office: Office) -> None:
    started(office, "lead", token="n", replace=True)
    assert (session(office, "lead").id, session(office, "boss").status) == ("lead", "stopped")


def test_one_session_may_stand_in_the_way_twice(office: Office) -> None:
    """The new session's id and its name are both the other's name."""
    assert refused(office, SessionStart(id="lead", name="lead", token="n")).code == "NAME_TAKEN"
    assert started(office, "lead", name="lead", token="n", replace=True).name == "lead"
    assert session(office, "boss").status == "stopped"


def test_the_operator_replaces_an_ended_session(office: Office) -> None:
    office.end("bob")
    assert started(office, "bob", token="new", replace=True).status == "idle"


def test_who_may_not_end_a_session_may_not_replace_it(office: Office) -> None:
    for fields in ({"id": "new", "name": "lead"}, {"id": "boss"}, {"id": "lead"}):
        error = refused(office, SessionStart(token="t", replace=True, who=Identity("ann", "a"), **fields))  # type: ignore[arg-type]
        assert error.code == "FORBIDDEN", fields
    office.circumstances.update(key="k", is_limited=True)
    for fields in ({"id": "new", "name": "lead"}, {"id": "boss"}):
        assert refused(office, SessionStart(token="t", replace=True, **fields)).code == "FORBIDDEN"  # type: ignore[arg-type]
    assert session(office, "lead").id == "boss"


def test_a_parent_replaces_its_child_and_a_session_itself(office: Office) -> None:
    started(office, "kid", name="helper", token="k", who=Identity("boss", "b"))
    started(office, "kid2", name="helper", token="k", replace=True, who=Identity("boss", "b"))
    assert session(office, "kid").status == "stopped"
    own = Identity("boss", "b")
    found = started(office, "boss2", name="lead", role="orchestrator", replace=True, token="x", who=own)
    assert (found.parent_session_id, session(office, "boss").status) == (None, "stopped")


def test_a_replaced_session_must_have_a_token(office: Office) -> None:
    assert refused(office, SessionStart(id="bob", replace=True)).code == "TOKEN_REQUIRED"
    assert refused(office, SessionStart(id="bob", replace=True, takeover=True, token="x")).code == "INVALID"


def test_a_replaced_session_makes_room_for_the_new_one() -> None:
    office = Office(Limits(sessions_max=1))
    started(office, "one", name="lead", token="a")
    assert refused(office, SessionStart(id="two", token="b")).code == "TOO_MANY"
    assert started(office, "two", name="lead", token="b", replace=True).name == "lead"
    assert started(office, "two", token="c", replace=True).name == "lead"


# --- takeover ----------------------------------------------------------------------------------------------------


def test_the_operator_takes_over_and_the_session_goes_on(office: Office) -> None:
    before = session(office, "boss")
    found = started(office, "boss", token="new", takeover=True)
    assert (found.name, found.role, found.started_at) == (before.name, before.role, before.started_at)
    assert refused(office, SessionEnd(who=Identity("boss", "b"))).code == "TOKEN_MISMATCH"
    assert office.do(SessionEnd(who=Identity("boss", "new"))).session.status == "completed"
    assert started(office, "boss", token="newer", takeover=True).status == "idle", "an ended one as well"


def test_a_session_without_a_token_is_taken_over(office: Office) -> None:
    """Its users would be locked out in silence otherwise."""
    office.start("open")
    error = refused(office, SessionStart(id="open", token="t"))
    assert error.code == "NAME_TAKEN"
    assert started(office, "open", token="t", takeover=True).has_token
    office.start("open2")
    assert started(office, "open2", token="t", who=Identity("open2")).has_token, "it may give itself one"


def test_only_the_operator_takes_over(office: Office) -> None:
    for who in (Identity("ann", "a"), Identity("boss", "b"), Identity("bob", "o")):
        assert refused(office, SessionStart(id="bob", token="x", takeover=True, who=who)).code == "FORBIDDEN"
    office.circumstances.update(key="k", is_limited=True)
    assert refused(office, SessionStart(id="bob", token="x", takeover=True)).code == "FORBIDDEN"
    office.circumstances.clear()
    assert refused(office, SessionStart(id="absent", token="x", takeover=True)).code == "SESSION_NOT_FOUND"
    assert refused(office, SessionStart(id="bob", takeover=True)).code == "TOKEN_REQUIRED"


# --- processes that are gone -------------------------------------------------------------------------------------


def test_the_name_of_a_session_whose_process_is_gone_is_free(office: Office) -> None:
    """It keeps its id and its mail, gets a number, and a message that says so."""
    end_process(office, "boss")
    found = started(office, "new", name="lead", token="n")
    assert (found.name, session(office, "lead").id) == ("lead", "new")
    other = session(office, "boss")
    assert (other.name, other.status) == ("lead-2", "idle")
    [mail] = [entry.message for entry in office.state.mailbox("boss")._by_seq.values()]
    assert mail.sender == "maestro"
    assert "'lead-2'" in mail.text
    assert "maestro session rename" in mail.text


def test_each_session_that_loses_a_name_gets_one_of_its_own(office: Office) -> None:
    end_process(office, "boss", "two", "three")
    started(office, "two", name="lead", **PROCESS)
    started(office, "three", name="Lead", **PROCESS)
    names = {one: session(office, one).name for one in ("boss", "two", "three")}
    assert names == {"boss": "lead-2", "two": "lead-3", "three": "Lead"}
    long = "x" * 64
    end_process(office, "long")
    started(office, "long", name=long, **PROCESS)
    started(office, "longer", name=long)
    assert session(office, "long").name == "x" * 62 + "-2"


def test_an_id_of_a_session_whose_process_is_gone_ends_as_another_takes_it_as_a_name(office: Office) -> None:
    started(office, "carl", name="carl", token="c", **PROCESS)
    end_process(office, "carl")
    started(office, "new", name="carl", token="n")
    assert session(office, "carl").id == "new"
    assert office.state.sessions.by_id("carl").session.status == "stopped"


def test_a_restarted_session_whose_name_was_taken_gets_a_number(office: Office) -> None:
    started(office, "old", name="nick", token="t")
    office.end("old")
    started(office, "new", name="nick", token="n")
    error = refused(office, SessionStart(id="old", name="nick", token="t"))
    assert error.code == "NAME_TAKEN", "a name that is asked for is refused"
    found = started(office, "old", token="t")
    assert found.name == "nick-2"
    assert office.state.mailbox("old").pending == 1
    assert session(office, "nick").id == "new"


def test_a_process_that_may_run_keeps_its_name(office: Office) -> None:
    """Neither a session without a process nor one of another machine is called gone."""
    started(office, "far", name="far away", token="f")
    assert refused(office, SessionStart(id="new", name="far away")).code == "NAME_TAKEN"
    office.circumstances["key"] = "k"
    assert started(office, "far2", name="farther", token="f", **PROCESS).pid is None


# --- rename --------------------------------------------------------------------------------------------------------


def test_a_session_is_renamed_by_itself_its_parent_and_the_operator(office: Office) -> None:
    started(office, "kid", name="helper", token="k", who=Identity("boss", "b"))
    for who, name in ((Identity("kid", "k"), "one"), (Identity("boss", "b"), "two"), (Identity(), "three")):
        assert office.do(SessionRename(id="kid", name=name, who=who)).session.name == name
        assert session(office, name).id == "kid"
    assert office.do(SessionRename(name="four", who=Identity("kid", "k"))).session.name == "four"
    before = len(office.journal)
    assert office.do(SessionRename(id="kid", name=" four ")).session.name == "four"
    assert len(office.journal) == before
    assert refused(office, SessionRename(id="kid", name="x", who=Identity("ann", "a"))).code == "FORBIDDEN"
    office.end("kid")
    assert refused(office, SessionRename(id="kid", name="five")).code == "SESSION_ENDED"


def test_a_name_that_is_taken_is_no_new_name(office: Office) -> None:
    for name in ("lead", "boss", "LEAD"):
        assert refused(office, SessionRename(id="ann", name=name)).code == "NAME_TAKEN"
    error = refused(office, SessionRename(id="ann", name="lead", replace=True, who=Identity("ann", "a")))
    assert error.code == "FORBIDDEN"
    assert office.do(SessionRename(id="ann", name="lead", replace=True)).session.name == "lead"
    assert session(office, "boss").status == "stopped"
    started(office, "gone", name="nick", **PROCESS)
    end_process(office, "gone")
    assert office.do(SessionRename(id="ann", name="nick")).session.name == "nick"
    assert session(office, "gone").name == "nick-2"


@pytest.mark.parametrize(
    "name",
    [
        *("operator", "OPERATOR", "\u043e\u0440\u0435rator", "parent", "maestro", "last", "@workers", "\uff20all"),
        *("-x", "_x", "a\u200bb", "a\u00a0b", "\u2800a", "a\u2003b", "\u3164", "\u202eann", ""),
    ],
)
def test_names_that_no_session_may_have(office: Office, name: str) -> None:
    for request in (SessionStart(id="new", name=name), SessionRename(id="ann", name=name)):
        error = refused(office, request)
        assert error.code == "INVALID", ascii(name)
        assert error.hint


@pytest.mark.parametrize("project", ["a\u200bb", "a\u00a0b", "", "\u2800"])
def test_projects_that_look_like_others(office: Office, project: str) -> None:
    assert refused(office, SessionStart(id="new", project_id=project)).code == "INVALID"


def test_a_project_is_stored_in_one_form(office: Office) -> None:
    assert started(office, "new", project_id=" cafe\u0301").project_id == "caf\u00e9"


@pytest.mark.parametrize("session_id", ["-x", "_x", "Operator", "last", "PARENT", "--", "maestro"])
def test_ids_that_no_new_session_may_have(office: Office, session_id: str) -> None:
    assert refused(office, SessionStart(id=session_id)).code == "INVALID_ID"


def test_an_id_of_an_earlier_version_stays_usable(office: Office) -> None:
    """Its session was started when an id could begin with a hyphen."""
    found = office.state.sessions.by_id("bob")
    office.state.sessions.put(found.stored(replace(found.session, id="-old")))
    office.end("-old")
    assert started(office, "-old", token="o").status == "idle"


def test_two_sessions_of_earlier_data_with_one_name_are_both_known(office: Office) -> None:
    office.share_name("ann", "twin")
    office.share_name("bob", "twin")
    with pytest.raises(MaestroError) as caught:
        office.do(SessionGet(id="twin"))
    assert (caught.value.code, caught.value.details) == ("AMBIGUOUS_NAME", {"ids": ["ann", "bob"]})
    assert started(office, "new", name="twin", token="t", replace=True).name == "twin"
    assert {session(office, one).status for one in ("ann", "bob")} == {"stopped"}


# --- a name from a base ----------------------------------------------------------------------------------------


def test_a_session_without_a_name_gets_the_base_or_the_first_free_number(office: Office) -> None:
    assert started(office, "s1", token="1", name_base="shop").name == "shop"
    assert started(office, "s2", token="2", name_base="shop").name == "shop-2"
    assert started(office, "s3", token="3", name_base="Shop").name == "Shop-3", "what looks the same is the same"
    office.do(SessionEnd(id="s2"))
    assert started(office, "s4", token="4", name_base="shop").name == "shop-2", "an end makes it free"
    assert started(office, "s1", token="1", name_base="other").name == "shop", "who has a name keeps it"
    assert started(office, "ann", token="a", name_base="shop").name == "shop-4", "an active one may be named so"
    office.start("eve")
    assert office.accept("eve", "shop-2", "m1").to == "s4"


def test_a_repeated_start_is_the_same_start(office: Office) -> None:
    first = started(office, "s1", token="1", name_base="shop")
    before = len(office.journal)
    assert started(office, "s1", token="1", name_base="shop") == first
    assert len(office.journal) == before


def test_a_session_that_comes_back_has_its_name(office: Office) -> None:
    started(office, "s1", token="1", name_base="shop")
    office.do(SessionEnd(id="s1"))
    assert started(office, "s1", token="1", name_base="other").name == "shop"


@pytest.mark.parametrize(
    "base", ["lead", "boss", "ann", "operator", "maestro", "parent", "last", "all", "workers", "crew", "old"]
)
def test_a_base_that_is_an_address_gets_a_number(office: Office, base: str) -> None:
    """The name and the id of an active session, a reserved word, a group's, and the id of an ended session, for which
    mail may be queued."""
    office.start("old")
    office.do(SessionEnd(id="old"))
    office.do(GroupSet(who=Identity("boss", "b"), name="crew", create=True))
    assert started(office, "s1", token="1", name_base=base).name == f"{base}-2"


def test_a_session_whose_process_is_gone_gives_up_the_base(office: Office) -> None:
    started(office, "s1", name_base="shop", **PROCESS)
    started(office, "s2", token="2", name_base="shop", **PROCESS)
    end_process(office, "s1")
    assert started(office, "s3", token="3", name_base="shop").name == "shop"
    gone = session(office, "s1")
    assert (gone.name, gone.active) == ("shop-3", True)
    assert "your name is 'shop-3' now" in office.inbox("s1")[0].text


def test_a_number_of_the_base_is_given_up_too(office: Office) -> None:
    """Otherwise killed terminals would make the numbers grow."""
    for number in (1, 2, 3):
        started(office, f"s{number}", name_base="shop", **PROCESS)
    end_process(office, "s2")
    assert started(office, "s4", name_base="shop").name == "shop-2"
    assert session(office, "s2").name == "shop-4"


def test_nothing_is_ended_for_a_base(office: Office) -> None:
    """The id of a session whose process is gone would be two sessions' address."""
    end_process(office, "boss")
    assert started(office, "s1", token="1", name_base="boss").name == "boss-2"
    assert session(office, "boss").active


def test_a_long_base_is_cut_for_its_number(office: Office) -> None:
    long = "n" * NAME_CHARS_MAX
    assert started(office, "s1", token="1", name_base=long).name == long
    assert started(office, "s2", token="2", name_base=long).name == f"{long[:-2]}-2"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "shop", "name_base": "shop"}, "exclude each other"),
        ({"name_base": "@all"}, "can't be '@all'"),
        ({"name_base": " "}, "the session's name"),
        ({"name_base": "n" * (NAME_CHARS_MAX + 1)}, "65"),
        ({"name_base": "a\nb"}, "the session's name"),
    ],
)
def test_an_impossible_base_is_refused(office: Office, fields: dict[str, str], said: str) -> None:
    error = refused(office, SessionStart(id="s1", token="1", **fields))  # type: ignore[arg-type] # any field
    assert error.code == "INVALID"
    assert said in error.message or said in str(error.actual)


_WORDS = st.sampled_from(["shop", "SHOP", "shop-2", "shop-3", "sh\u043ep", "last", "boss", "n" * 64])


@given(st.lists(st.tuples(st.sampled_from(["base", "name", "id", "end", "gone", "rename"]), _WORDS), max_size=24))
def test_no_two_active_sessions_ever_have_one_name(steps: list[tuple[str, str]]) -> None:
    """Whatever starts, ends, is renamed and dies in between; and a start with a base gets a name."""
    office = Office(Limits(rate_limit=0, start_limit=10_000, change_limit=10_000))
    office.start("boss")
    dead: list[str] = []
    end_process(office)
    office.circumstances["signs"] = lambda found, _now_ms: Signs(alive=found.session.id not in dead)
    for number, (step, word) in enumerate(steps):
        own = f"s{number}"
        with contextlib.suppress(MaestroError):
            if step == "base":
                assert likeness(started(office, own, name_base=word, **PROCESS).name or "").startswith(
                    likeness(word[:60])
                )
            elif step == "name":
                started(office, own, name=word, **PROCESS)
            elif step == "id":
                started(office, word, **PROCESS)
            elif step == "end":
                office.do(SessionEnd(id=word))
            elif step == "gone":
                dead.append(session(office, word).id)
            else:
                office.do(SessionRename(id=word, name=f"{word[:50]}-{number}"))
        active = [found.session for found in office.state.sessions if found.active]
        names = [likeness(one.name) for one in active if one.name is not None]
        assert len(set(names)) == len(names)
        for one in active:
            assert one.name not in {other.id for other in active if other is not one}
    assert all(found.session.name for found in office.state.sessions if found.session.id in _based(steps))


def _based(steps: list[tuple[str, str]]) -> set[str]:
    return {f"s{number}" for number, (step, _) in enumerate(steps) if step == "base"}
