"""Search: which copy of a message is shown, pages, and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_broker.index.orders import Scope
from support.indexed_mail import decoded

if TYPE_CHECKING:
    from support.indexed_mail import IndexedMail


def test_the_own_copy_is_shown_and_only_visible_receivers(mail: IndexedMail) -> None:
    mail.send("ann", ("bob", "cid"), "one", audience=("@workers",))
    (hit,) = mail.search("one")["hits"]
    assert (hit["message"]["to"], hit["receivers"]) == ("bob", ["bob", "cid"])
    (hit,) = mail.search("one", Scope("cid"))["hits"]
    assert (hit["message"]["to"], "receivers" in hit) == ("cid", False)
    (hit,) = mail.search("one", Scope(owner="cid"))["hits"]
    assert hit["message"]["to"] == "cid"


def test_a_copy_without_a_file_is_passed_over_and_leaves(mail: IndexedMail) -> None:
    sent = mail.send("ann", ("bob", "cid"), "one", audience=("@workers",))
    assert mail.found("") == ["one"]
    mail.spool.remove_message("bob", sent)
    (hit,) = mail.search("one")["hits"]
    assert (hit["message"]["to"], "receivers" in hit) == ("cid", False)
    mail.spool.remove_message("cid", sent)
    assert mail.search("one")["hits"] == []
    assert mail.search("one")["total"] == 0


def test_pages_end_at_the_limit_and_at_the_bytes(mail: IndexedMail) -> None:
    for number in range(6):
        mail.send("ann", "bob", f"cart {number} " + "x" * 900)
    cases: list[dict[str, Any]] = [{"limit": 2}, {"bytes_max": 2_500}, {"bytes_max": 1}]
    for fields in cases:
        seen, before = [], None
        while True:
            page = mail.search("cart", before=before, **fields)
            seen += [hit["message"]["message"][:6] for hit in page["hits"]]
            assert page["total"] == 6
            if not page["hasMore"]:
                break
            before = page["before"]
        assert seen == [f"cart {number}" for number in range(5, -1, -1)], fields


def test_threads_of_what_the_caller_may_see(mail: IndexedMail) -> None:
    first = mail.send("ann", "bob", "first")
    mail.send("bob", "ann", "second", in_reply_to=first, thread_id=first)
    mail.send("ann", "cid", "third", in_reply_to=first, thread_id=first)
    mail.send("ann", "bob", "alone")
    other = mail.send("ann", "bob", "other")
    mail.send("bob", "ann", "newest", in_reply_to=other, thread_id=other)
    threads = decoded(mail.order("threads"))["threads"]
    assert [(each["threadId"], each["messages"], each["senders"]) for each in threads] == [
        (other, 2, ["ann", "bob"]),
        (first, 3, ["ann", "bob"]),
    ]
    assert threads[1]["root"]["message"] == "first"
    assert threads[1]["newest"]["message"] == "third"
    (own,) = decoded(mail.order("threads", Scope("cid")))["threads"]
    assert (own["messages"], "root" in own, own["newest"]["message"]) == (1, False, "third")
    page = decoded(mail.order("threads", limit=1))
    assert page["hasMore"] is True
    rest = decoded(mail.order("threads", before=page["before"]))
    assert [each["threadId"] for each in rest["threads"]] == [first]
    assert len(decoded(mail.order("threads", bytes_max=1))["threads"]) == 1
    mail.delete("bob", first)
    assert "root" not in decoded(mail.order("threads"))["threads"][1]
