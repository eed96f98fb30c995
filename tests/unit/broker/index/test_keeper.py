"""Keeper: the index follows the files, and is built again when it is no good."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from maestro_broker.files import index_files
from maestro_broker.index.keeper import IndexKeeper
from maestro_broker.index.orders import IndexOrder
from support.indexed_mail import IndexedMail, decoded

if TYPE_CHECKING:
    from pathlib import Path


def path_of(mail: IndexedMail) -> str:
    return index_files.path_of(mail.data)


def remove(mail: IndexedMail) -> None:
    for suffix in index_files.SUFFIXES:
        if os.path.exists(path_of(mail) + suffix):
            os.unlink(path_of(mail) + suffix)


def test_it_goes_on_where_it_was(mail: IndexedMail) -> None:
    mail.send("ann", "bob", "one")
    assert mail.found("") == ["one"]
    mail.keeper.close()
    mail.send("ann", "bob", "two")
    mail.keeper = IndexKeeper(mail.data, may_use_full_text=mail.keeper.report().full_text)
    assert mail.found("") == ["one", "two"]


def test_between_orders_it_follows(mail: IndexedMail) -> None:
    assert not mail.keeper.work(), "before the first order there is nothing to do"
    mail.send("ann", "bob", "one")
    assert mail.found("") == ["one"]
    for number in range(20):
        mail.send("ann", "bob", f"more {number}")
    assert not mail.keeper.work(), "more may come"
    while mail.keeper.work():
        pass
    assert mail.keeper.report().up_to == mail.lsn
    assert mail.keeper.report().messages == 21
    assert mail.keeper.report().rebuilding is None


def test_an_answer_that_is_not_whole_says_so(mail: IndexedMail) -> None:
    """The spool writer has not written the newest records yet."""
    mail.send("ann", "bob", "one")
    answer = decoded(mail.keeper.answer(1, IndexOrder("search", mail.lsn + 5, limit=9, bytes_max=1 << 20)))
    assert len(answer["hits"]) == 1
    assert (answer["index"]["upTo"], answer["index"]["head"]) == (mail.lsn, mail.lsn + 5)
    assert 0 < answer["index"]["rebuilding"] < 1


def test_once_whole_it_is_behind_and_not_rebuilding(mail: IndexedMail) -> None:
    mail.send("ann", "bob", "one")
    mail.order("search")
    mail.keeper.work()
    answer = decoded(mail.keeper.answer(1, IndexOrder("search", mail.lsn + 5, limit=9, bytes_max=1 << 20)))
    assert "rebuilding" not in answer["index"]


@pytest.mark.parametrize("kind", ["removed", "damaged", "no tables", "version", "replaced"])
def test_a_file_that_is_no_good_is_built_again(mail: IndexedMail, kind: str) -> None:
    for number in range(10):
        mail.send("ann", "bob", f"cart {number}")
    assert mail.search("cart")["total"] == 10
    full_text = mail.keeper.report().full_text
    if kind not in ("removed", "replaced"):
        mail.keeper.close()
    if kind in ("removed", "replaced"):
        remove(mail)
        if kind == "replaced":
            with open(path_of(mail), "wb") as file:
                file.write(b"no database" * 1_000)
    elif kind == "damaged":
        with open(path_of(mail), "r+b") as file:
            file.seek(3_000)
            file.write(b"\xff" * 30_000)
    else:
        with closing(sqlite3.connect(path_of(mail))) as db:
            db.execute("DROP TABLE d" if kind == "no tables" else "PRAGMA user_version=9")
            db.commit()
    if kind not in ("removed", "replaced"):
        mail.keeper = IndexKeeper(mail.data, may_use_full_text=full_text)
    assert mail.search("cart")["total"] == 10
    assert mail.keeper.report().full_text is full_text


def test_an_index_of_a_python_with_full_text_is_built_again_for_one_without(mail: IndexedMail) -> None:
    mail.send("ann", "bob", "cart")
    assert mail.found("cart") == ["cart"]
    full_text = mail.keeper.report().full_text
    mail.keeper.close()
    mail.keeper = IndexKeeper(mail.data, may_use_full_text=not full_text)
    assert mail.found("cart") == ["cart"]
    assert mail.keeper.report().full_text is not full_text


def test_damage_that_is_found_by_a_read(mail: IndexedMail) -> None:
    """The order that finds it is answered from the index that is built again."""
    for number in range(10):
        mail.send("ann", "bob", f"cart {number}")
    assert mail.search("cart")["total"] == 10
    with closing(sqlite3.connect(path_of(mail))) as db:
        db.execute("DROP TABLE d")
        db.commit()
    assert mail.search("cart")["total"] == 10
    with closing(sqlite3.connect(path_of(mail))) as db:
        db.execute("DROP TABLE r")
        db.commit()
    mail.refuse("ann", "CONFLICT", "m1")
    mail.send("ann", "bob", "cart 10")
    while mail.keeper.work():
        pass
    assert mail.search("cart")["total"] == 11


def test_a_full_disk_is_waited_for(mail: IndexedMail, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit of pages gives the error of a full disk. Orders are answered from what is there."""
    from maestro_broker.index import keeper

    monkeypatch.setattr(keeper, "_REST_S", 0.0)
    mail.send("ann", "bob", "cart 0")
    assert mail.search("cart")["total"] == 1
    store = mail.keeper._store
    assert store is not None
    (pages,) = store.run("PRAGMA page_count").fetchone()
    store.run(f"PRAGMA max_page_count={pages}")
    for number in range(1, 60):
        mail.send("ann", "bob", f"cart {number} " + "x" * 4_000)
    found = mail.search("cart")
    assert found["index"]["upTo"] < found["index"]["head"]
    assert "hits" in found
    assert not mail.keeper.work()
    store.run("PRAGMA max_page_count=1000000")
    assert mail.search("cart")["total"] == 60


def test_a_folder_that_can_not_be_used_is_said(tmp_path: Path) -> None:
    mail = IndexedMail(str(tmp_path))
    mail.send("ann", "bob", "one")
    os.rmdir(tmp_path / "index")
    answer = mail.order("search")
    assert answer.failure is not None
    assert "can't be read" in answer.failure
    assert mail.keeper.report().messages == 0
    os.mkdir(tmp_path / "index")
    assert mail.found("") == ["one"]
    mail.close()


def test_another_timeline_is_noticed(mail: IndexedMail) -> None:
    """The same LSN at another time, lines that are missing between, and a head that is behind."""
    mail.send("ann", "bob", "one")
    mail.send("ann", "bob", "two")
    assert mail.found("") == ["one", "two"]
    full_text = mail.keeper.report().full_text
    mail.keeper.close()
    [name] = os.listdir(os.path.join(mail.data, "timeline"))
    day = os.path.join(mail.data, "timeline", name)
    with open(day, encoding="utf-8") as file:
        lines = file.readlines()
    with open(day, "w", encoding="utf-8") as file:
        file.write(lines[0])
        file.write(lines[1].replace(f'"at":{mail.now_ms - 1_000}', '"at":1796043601001'))
    mail.keeper = IndexKeeper(mail.data, may_use_full_text=full_text)
    mail.order("search")
    rows = mail.keeper._store
    assert rows is not None
    assert rows.place()[1] == 1_796_043_601_001
    answer = mail.keeper.answer(1, IndexOrder("search", 1, limit=9, bytes_max=1 << 20))
    assert decoded(answer)["index"]["head"] == 1
    mail.keeper.close()
    with open(day, "w", encoding="utf-8") as file:
        file.write(lines[1].replace('"lsn":2', '"lsn":9'))
    mail.keeper = IndexKeeper(mail.data, may_use_full_text=full_text)
    mail.lsn = 9
    assert mail.found("") == ["two"]


def test_what_the_sweep_removed_leaves(mail: IndexedMail) -> None:
    """Also where no search asks for it; its figures stay until the timeline forgets it."""
    one = mail.send("ann", ("bob", "cid"), "one", audience=("bob", "cid"))
    mail.send("ann", "bob", "two")
    assert mail.found("") == ["one", "two"]
    mail.spool.remove_message("bob", one)
    while mail.keeper.work():
        pass
    assert mail.found("to:bob") == ["two"]
    assert mail.found("to:cid") == ["one"]
    mail.spool.remove_message("cid", one)
    mail.keeper._compared_s = 0.0
    while mail.keeper.work():
        pass
    assert mail.found("") == ["two"]
    volume = decoded(mail.order("analytics", since=0, until=1 << 50, bucket_ms=86_400_000))["volume"]
    assert volume == {"sent": 2, "deliveries": 3, "fanOuts": 1}


def test_an_order_to_rebuild(mail: IndexedMail) -> None:
    mail.send("ann", "bob", "one")
    assert mail.found("") == ["one"]
    answer = mail.order("rebuild")
    assert answer.mentioned is None
    assert decoded(answer)["index"] == {"upTo": 0, "head": 1, "rebuilding": 0.0}
    assert mail.found("") == ["one"]
