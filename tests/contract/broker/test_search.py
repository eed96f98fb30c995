"""The search index of a real broker: no lag after a send, who finds what, and what leaves the index."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.files import index_files
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.post_office import PostOffice

ENOUGH_S = 30.0


def texts(found: Any) -> list[str]:
    return [hit["message"]["message"] for hit in found["hits"]]


def await_true(check: Callable[[], bool]) -> None:
    until_s = time.monotonic() + ENOUGH_S
    while not check():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def index_pids(office: PostOffice) -> list[int]:
    """The processes of the index of this data directory."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if b"maestro_broker.index" in words and os.fsencode(office.data) in words:
            found.append(int(name))
    return found


def damage(path: str) -> None:
    """Write over the beginning of a file in place."""
    with open(path, "r+b") as file:
        file.write(b"no database at all" * 400)


def test_a_search_finds_what_was_sent_right_before(open_office: PostOffice) -> None:
    ann, person = open_office.client("ann"), open_office.client()
    for number in range(50):
        ann.send("bob", f"word{number}")
        found = person.search(f"word{number}")
        assert texts(found) == [f"word{number}"]
        assert found["index"]["upTo"] == found["index"]["head"]


def test_an_answer_says_where_the_words_stand(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    ann.send("bob", "😀 The red\nCART is full, 購物車 too")
    (hit,) = ann.search("cart 物")["hits"]
    assert hit["snippet"] == "😀 The red CART is full, 購物車 too"
    assert [hit["snippet"][begin:end] for begin, end in hit["marks"]] == ["CART", "物"]


@pytest.fixture
def crowd(open_office: PostOffice) -> PostOffice:
    """Also an orchestrator of the project of `ann` and `bob`, one of another, and a worker there."""
    for name, role, project in (
        ("lead", "orchestrator", "default"),
        ("boss", "orchestrator", "other"),
        ("zoe", "worker", "other"),
    ):
        open_office.session(name, role=role, project=project)
    return open_office


def finds(office: PostOffice, who: str | None, query: str, **filters: Any) -> list[str]:
    return sorted(texts(office.client(who).search(query, **filters)))


def test_who_finds_what(crowd: PostOffice) -> None:
    crowd.client("ann").send("bob", "one within")
    crowd.client("lead").send("boss", "two across")
    crowd.client("boss").send("zoe", "three other")
    crowd.client("ann").send("lead", "four up")
    everything = ["four up", "one within", "three other", "two across"]
    assert finds(crowd, None, "") == everything
    assert finds(crowd, "bob", "") == ["one within"]
    assert finds(crowd, "zoe", "within") == []
    assert finds(crowd, "zoe", "") == ["three other"]
    # An orchestrator: what was sent within its project, and its own.
    assert finds(crowd, "lead", "") == ["four up", "one within", "two across"]
    assert finds(crowd, "boss", "") == ["three other", "two across"]
    assert finds(crowd, "lead", "", session="bob") == ["one within"]
    assert finds(crowd, None, "", project="other") == ["three other", "two across"]
    for who in ("bob", "zoe"):
        with pytest.raises(MaestroError, match="may not see the mail of ann") as caught:
            crowd.client(who).search("", session="ann")
        assert caught.value.code == "FORBIDDEN"
    with pytest.raises(MaestroError) as caught:
        crowd.client("lead").rebuild_index()
    assert caught.value.code == "FORBIDDEN"


def test_each_operator(crowd: PostOffice) -> None:
    ann, bob, lead = crowd.client("ann"), crowd.client("bob"), crowd.client("lead")
    asked = ann.send("bob", "May I?", metadata={"type": "request", "requiresAck": True, "taskId": "t-1"})
    bob.confirm([asked["id"]], kind="read", via="cli")
    answer = bob.send("ann", "Yes, größer", metadata={"inReplyTo": asked["id"], "type": "response"})
    ann.send("lead", "Does it work?", metadata={"requiresResponse": True, "priority": "high"})
    lead.send(["@workers"], "Main is red", confirm=True)
    every = ["Does it work?", "Main is red", "May I?", "Yes, größer"]
    cases = {
        "from:ann": ["Does it work?", "May I?"],
        "from:me": [],
        "to:bob": ["Main is red", "May I?"],
        "to:@workers": ["Main is red"],
        "group:workers": ["Main is red"],
        "with:bob": ["Main is red", "May I?", "Yes, größer"],
        "-with:bob": ["Does it work?"],
        "project:default": every,
        "project:none": [],
        "task:t-1": ["May I?"],
        f"thread:{asked['id']}": ["May I?", "Yes, größer"],
        "type:request": ["May I?"],
        "priority:high": ["Does it work?"],
        "priority:medium": ["Main is red", "May I?", "Yes, größer"],
        "status:read": ["May I?"],
        "status:pending -from:lead": ["Does it work?", "Yes, größer"],
        "is:unread to:bob": ["Main is red"],
        "is:unanswered": ["Does it work?"],
        "-is:unanswered": ["Main is red", "May I?", "Yes, größer"],
        "is:fanout": ["Main is red"],
        "has:ack": ["May I?"],
        "has:attachment": [],
        "file:*.patch": [],
        "after:1h": every,
        "before:1h": [],
        "after:today before:1h": [],
        "GROSSER": [],
        "grOßer": ["Yes, größer"],
        "grö*": ["Yes, größer"],
        '"main is"': ["Main is red"],
        '"is main"': [],
        "red -main": [],
        "?": ["Does it work?", "May I?"],
        "ma*": ["Main is red", "May I?"],
    }
    for query, found in cases.items():
        assert finds(crowd, None, query) == found, query
    for query, found in (("from:me", ["Does it work?", "May I?"]), ("is:unread", ["Main is red", "Yes, größer"])):
        assert finds(crowd, "ann", query) == found, query
    assert answer["id"] in str(crowd.client().search("größer"))


@pytest.mark.parametrize(
    ("query", "code"),
    [("form:bob", "INVALID_QUERY"), ("from:none", "SESSION_NOT_FOUND"), ("group:none", "GROUP_NOT_FOUND")],
)
def test_what_is_refused(open_office: PostOffice, query: str, code: str) -> None:
    with pytest.raises(MaestroError) as caught:
        open_office.client().search(query)
    assert caught.value.code == code


def test_no_query_is_a_command_of_the_index(open_office: PostOffice) -> None:
    """What FTS5 or SQL would take for their own syntax is text."""
    open_office.client("ann").send("bob", "plain")
    person = open_office.client()
    for query in (
        'a"b', "a'b", "(", ")", "a)", "NEAR(a b)",
        "text:", "{text}:a", "^a", "a+b", "%", "_", "\\", '"', '""""', "-*",
        "*a", "a*b*", "'; DROP TABLE m; --", "a\x00b", '"a\x00"', "\x02", "-", "--", "- -", "\ufffd", "é" * 900,
        "file:[", "file:'", "task:%", "task:'\"", "thread:*", "near near/2 near", "购 -购", "-购",
    ):  # fmt: skip
        try:
            person.search(query)
        except MaestroError as error:
            assert error.code == "INVALID_QUERY", query
    assert texts(person.search("plain")) == ["plain"]
    assert person.stats()["index"]["starts"] == 1


def test_one_entry_a_message_and_whom_it_shows(crowd: PostOffice) -> None:
    sent = crowd.client("lead").send(["ann", "bob"], "Main is red")
    (hit,) = crowd.client().search("red")["hits"]
    assert (hit["message"]["id"], hit["receivers"]) == (sent["id"], ["ann", "bob"])
    # Who else got it is not for a receiver to know.
    (hit,) = crowd.client("bob").search("red")["hits"]
    assert (hit["message"]["to"], "receivers" in hit) == ("bob", False)


def test_pages(open_office: PostOffice) -> None:
    ann, person = open_office.client("ann"), open_office.client()
    for number in range(7):
        ann.send("bob", f"cart {number}")
    seen: list[str] = []
    before = None
    while True:
        page = person.search("cart", limit=3, before=before)
        seen += texts(page)
        assert page["total"] == 7
        if not page["hasMore"]:
            break
        before = page["before"]
    assert seen == [f"cart {number}" for number in range(6, -1, -1)]
    for limit, before in ((0, None), (None, 0)):
        with pytest.raises(MaestroError) as caught:
            person.search("cart", limit=limit, before=before)
        assert caught.value.code == "INVALID"


def test_a_page_of_long_texts_ends_at_the_limit_of_a_reply(post_office: PostOffice) -> None:
    post_office.start(reply_bytes_max=65_536)
    post_office.sessions("ann", "bob")
    for number in range(10):
        post_office.client("ann").send("bob", f"cart {number} " + "購" * 9_000)
    pages, before = 0, None
    found: list[str] = []
    while True:
        page = post_office.client().search("cart", before=before)
        pages, found = pages + 1, found + texts(page)
        if not page["hasMore"]:
            break
        before = page["before"]
    assert (len(set(found)), len(found)) == (10, 10)
    assert pages > 3


def test_confirmed_deleted_and_removed_mail(open_office: PostOffice) -> None:
    ann, bob, person = open_office.client("ann"), open_office.client("bob"), open_office.client()
    ids = [ann.send("bob", f"cart {number}")["id"] for number in range(3)]
    assert len(texts(person.search("status:pending"))) == 3
    bob.confirm([ids[0]], kind="delivered", via="cli")
    assert texts(person.search("status:delivered")) == ["cart 0"]
    bob.delete([ids[1]])
    assert texts(person.search("cart")) == ["cart 2", "cart 0"]
    # As the sweep does: without a record.
    os.unlink(os.path.join(open_office.data, "messages", "by-receiver", "bob", f"{ids[2]}.json"))
    assert texts(person.search("cart")) == ["cart 0"]
    assert person.search("cart")["total"] == 1


def test_deleted_text_is_not_in_the_file(open_office: PostOffice) -> None:
    ann, bob = open_office.client("ann"), open_office.client("bob")
    sent = ann.send("bob", "supersecretword")
    assert texts(ann.search("supersecretword")) == ["supersecretword"]
    bob.delete([sent["id"]])
    assert texts(ann.search("supersecretword")) == []
    with closing(sqlite3.connect(index_files.path_of(open_office.data))) as db:
        assert db.execute("SELECT count(*) FROM m WHERE text LIKE '%supersecret%'").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM t WHERE t MATCH 'supersecretword'").fetchone() == (0,)


def test_threads(crowd: PostOffice) -> None:
    ann, bob = crowd.client("ann"), crowd.client("bob")
    first = ann.send("bob", "May I?")
    bob.send("ann", "Yes", metadata={"inReplyTo": first["id"]})
    ann.send("bob", "no thread")
    ann.send("lead", "Next", metadata={"inReplyTo": first["id"]})
    found = crowd.client().threads()
    (thread,) = found["threads"]
    assert (thread["threadId"], thread["messages"], thread["senders"]) == (first["id"], 3, ["ann", "bob"])
    assert (thread["root"]["message"], thread["newest"]["message"]) == ("May I?", "Next")
    # bob sees neither the last message nor counts it.
    (thread,) = crowd.client("bob").threads()["threads"]
    assert (thread["messages"], thread["newest"]["message"]) == (2, "Yes")
    # lead: a thread whose root was sent within its project.
    assert crowd.client("lead").threads()["threads"][0]["messages"] == 3
    assert crowd.client("zoe").threads()["threads"] == []


def test_figures(crowd: PostOffice) -> None:
    ann, bob = crowd.client("ann"), crowd.client("bob")
    first = ann.send("bob", "May I?", metadata={"type": "request"})
    ann.send("bob", "And this?", metadata={"type": "request"})
    bob.confirm([first["id"]], kind="read", via="cli")
    bob.send("ann", "Yes", metadata={"inReplyTo": first["id"]})
    crowd.client("lead").send(["@workers"], "red", confirm=True)
    with pytest.raises(MaestroError):
        ann.send("zoe", "may not")
    found = crowd.client().analytics()
    assert found["volume"] == {"sent": 4, "deliveries": 6, "fanOuts": 1}
    assert found["outcome"]["delivered"] == found["outcome"]["read"] == found["outcome"]["answered"] == 1
    assert found["outcome"]["pending"] == 5
    assert found["outcome"]["deliverySuccessRate"] == 1.0
    assert (found["requests"], found["requestsAnswered"]) == (2, 1)
    assert [each["text"] for each in found["unanswered"]] == ["And this?"]
    assert found["times"]["answered"]["count"] == 1
    assert {(each["from"], each["to"], each["deliveries"]) for each in found["routes"]} == {
        ("ann", "bob", 2), ("bob", "ann", 1), ("lead", "@workers", 3)
    }  # fmt: skip
    assert ("ann", "bob", 2, 1) in {
        (each["first"], each["second"], each["forth"], each["back"]) for each in found["pairs"]
    }
    assert found["via"] == [{"name": "cli", "count": 1}]
    assert [(each["name"], each["from"]) for each in found["refusals"]] == [("ROLE_FORBIDDEN", "ann")]
    assert sum(bar["sent"] for bar in found["series"]) == 4
    assert crowd.client("zoe").analytics()["volume"]["sent"] == 1
    assert crowd.client("bob").analytics()["volume"] == {"sent": 4, "deliveries": 4, "fanOuts": 0}


# --- the process ---------------------------------------------------------------------------------------------


def test_no_process_runs_before_the_first_search_or_after_the_broker(open_office: PostOffice) -> None:
    assert index_pids(open_office) == []
    open_office.client().search("")
    assert len(index_pids(open_office)) == 1
    open_office.stop()
    await_true(lambda: index_pids(open_office) == [])


def test_it_ends_with_a_killed_broker(open_office: PostOffice) -> None:
    open_office.client().search("")
    open_office.kill()
    await_true(lambda: index_pids(open_office) == [])


def test_a_killed_process_is_started_again_and_the_request_answered(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    for number in range(5):
        ann.send("bob", f"cart {number}")
        assert len(texts(ann.search("cart"))) == number + 1
        (pid,) = index_pids(open_office)
        os.kill(pid, signal.SIGKILL)
    assert len(texts(ann.search("cart"))) == 5


def test_a_stopped_process_holds_nothing_back(open_office: PostOffice) -> None:
    """Mail is sent and read while it does not answer; a request beyond the limit is refused; the others get their
    answers once it goes on, and a client that went away does no harm."""
    ann = open_office.client("ann")
    ann.search("")
    (pid,) = index_pids(open_office)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(MaestroError) as caught:
            open_office.client("bob").call("search", {"query": ""}, timeout_s=0.2)
        assert caught.value.code == "TIMEOUT"
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(_outcome(open_office))) for _ in range(70)]
        for thread in threads:
            thread.start()
        await_true(lambda: any(isinstance(each, str) for each in found))
        assert ann.send("bob", "still")["status"] == 201
        assert open_office.client("bob").inbox()["count"] == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    for thread in threads:
        thread.join(ENOUGH_S)
    refused = [each for each in found if isinstance(each, str)]
    assert set(refused) <= {"INDEX_UNAVAILABLE"}
    assert len(found) == 70
    assert len(refused) < 70


def _outcome(office: PostOffice) -> Any:
    with Client(office.router(), Caller()) as client:
        try:
            return client.call("search", {"query": ""}, timeout_s=ENOUGH_S)
        except MaestroError as error:
            return error.code


@pytest.mark.parametrize("kind", ["deleted", "damaged", "version", "emptied", "folder"])
def test_an_index_that_is_no_good_is_built_again(open_office: PostOffice, kind: str) -> None:
    ann, person = open_office.client("ann"), open_office.client()
    for number in range(20):
        ann.send("bob", f"cart {number}")
    assert person.search("cart")["total"] == 20
    path = index_files.path_of(open_office.data)
    if kind == "deleted":  # while it is open
        for suffix in index_files.SUFFIXES:
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
    else:
        # A client that waited long has repeated its request: for that one the process is started again.
        while pids := index_pids(open_office):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        if kind == "damaged":
            damage(path)
        elif kind == "emptied":
            os.truncate(path, 0)
            os.unlink(path + "-wal")
        elif kind == "folder":
            for suffix in index_files.SUFFIXES:
                if os.path.exists(path + suffix):
                    os.unlink(path + suffix)
        else:
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA user_version=77")
    # Of a process that was ended twice at its start, the broker says for a moment that it can't answer.
    await_true(lambda: _outcome(open_office) != "INDEX_UNAVAILABLE")
    assert person.search("cart")["total"] == 20
    ann.send("bob", "cart 20")
    assert person.search("cart")["total"] == 21


def test_a_directory_of_an_earlier_time(open_office: PostOffice) -> None:
    """Files that were put back from a copy have lower LSNs: the index does not mix both."""
    import shutil

    ann = open_office.client("ann")
    ann.send("bob", "old cart")
    open_office.stop()
    shutil.copytree(open_office.data, open_office.data + ".copy")
    open_office.start()
    open_office.client("ann").send("bob", "lost cart")
    assert open_office.client("ann").search("cart")["total"] == 2
    open_office.stop()
    index = os.path.join(open_office.data, index_files.FOLDER)
    shutil.copytree(index, os.path.join(open_office.data + ".copy", index_files.FOLDER))
    shutil.rmtree(open_office.data)
    os.rename(open_office.data + ".copy", open_office.data)
    open_office.start()
    assert texts(open_office.client("ann").search("cart")) == ["old cart"]


def test_a_rebuild_by_order(open_office: PostOffice) -> None:
    ann, person = open_office.client("ann"), open_office.client()
    ann.send("bob", "cart")
    assert person.search("cart")["total"] == 1
    assert person.rebuild_index()["index"]["upTo"] == 0
    assert person.search("cart")["total"] == 1
    await_true(lambda: person.stats()["index"].get("messages") == 1)
    shown = person.stats()["index"]
    assert shown["running"] is True
    assert shown["bytes"] > 0


def test_the_files_are_private(open_office: PostOffice) -> None:
    open_office.client("ann").search("")
    folder = os.path.join(open_office.data, index_files.FOLDER)
    modes = {os.stat(os.path.join(folder, name)).st_mode & 0o777 for name in os.listdir(folder)}
    assert modes == {0o600}
    assert os.stat(folder).st_mode & 0o777 == 0o700


def test_the_same_without_full_text(post_office: PostOffice) -> None:
    """A Python whose SQLite has no FTS5 finds the same words, and parts of words too."""
    post_office.environ["MAESTRO_INDEX_FULL_TEXT"] = "off"
    post_office.start()
    post_office.sessions("ann", "bob")
    post_office.client("ann").send("bob", "Die Größe of the test_cart")
    person = post_office.client()
    for query in ("cart", "größe", '"the test"', "car*", "-nothing die", "CART from:ann"):
        assert person.search(query)["total"] == 1, query
    for query in ("-cart", "nothing", '"test the"'):
        assert person.search(query)["total"] == 0, query
    (hit,) = person.search("cart")["hits"]
    assert [hit["snippet"][begin:end] for begin, end in hit["marks"]] == ["cart"]
    await_true(lambda: "fullText" in person.stats()["index"])
    assert person.stats()["index"]["fullText"] is False


def test_after_kill_and_start_nothing_is_missing_or_twice(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    for number in range(30):
        ann.send("bob", f"cart {number}")
        if number % 10 == 9:
            assert ann.search("cart")["total"] == number + 1
            open_office.kill()
            open_office.start()
            ann = open_office.client("ann")
            assert ann.search("cart")["total"] == number + 1
    assert sorted(re.findall(r"\d+", " ".join(texts(ann.search("cart")))), key=int) == [str(n) for n in range(30)]


# --- a search that takes long -----------------------------------------------------------------------------------


def test_a_search_that_hangs_is_refused_alone(open_office: PostOffice) -> None:
    """A client repeats what is not answered, and that is no more work. Of a session only a few wait."""
    open_office.client().search("hello")
    (pid,) = index_pids(open_office)
    os.kill(pid, signal.SIGSTOP)
    outcomes: list[tuple[str, str]] = []

    def search(who: str) -> None:
        with Client(open_office.router(), Caller(who), timeout_s=60.0) as client:
            try:
                client.search("hello")
                outcomes.append((who, "answered"))
            except MaestroError as error:
                outcomes.append((who, f"{error.code} {error.limit}"))

    threads = [threading.Thread(target=search, args=("ann",)) for _ in range(5)]
    for thread in threads:
        thread.start()
    await_true(lambda: outcomes == [("ann", "INDEX_UNAVAILABLE 4")])
    threads.append(threading.Thread(target=search, args=("bob",)))
    threads[-1].start()
    for thread in threads:
        thread.join(60.0)
    # 20 s later: the one that the process had begun is refused, and a new process answers the others.
    assert outcomes[1] == ("ann", "INDEX_UNAVAILABLE None")
    assert sorted(outcomes[2:]) == [*[("ann", "answered")] * 3, ("bob", "answered")]
    assert pid not in index_pids(open_office)
