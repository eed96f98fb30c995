"""Tenure: a broker notices that its sockets, its lock, its address or its data directory are gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from maestro_clients.client import Client
from maestro_clients.mailbox.notices import Notices
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.callers import Caller
from maestro_clients.transports.addresses import listens
from maestro_runtime import paths
from maestro_runtime.traces import end_note, lock_file
from maestro_schemas.errors import MaestroError
from support.post_office import PostOffice, eventually, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The promise; tests wait longer, because a busy machine is late.
_BOUND_AGAIN_S = 20.0


def socket_paths(office: PostOffice) -> dict[str, str]:
    directory = paths.runtime_dir(office.data, office.environ)
    return {name: os.path.join(directory, name) for name in (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)}


def reason(office: PostOffice) -> str:
    """Why the broker ended, where its data directory's loss does not reach."""
    with open(os.path.join(office.root, "broker.out"), encoding="utf-8") as file:
        printed = file.read()
    note = end_note.read(paths.runtime_dir(office.data, office.environ))
    assert note is not None
    assert f"pid {office_pid(note)}: " in note
    kept = note.partition(": ")[2]
    assert kept[:40] in printed
    return kept


def office_pid(note: str) -> int:
    return int(note.partition(" pid ")[2].partition(":")[0])


# --- the sockets -------------------------------------------------------------------------------------------


def remove_both(office: PostOffice) -> None:
    for path in socket_paths(office).values():
        os.unlink(path)


def remove_directory(office: PostOffice) -> None:
    shutil.rmtree(paths.runtime_dir(office.data, office.environ))


def remove_all_above(office: PostOffice) -> None:
    """What the last logout of a user does."""
    shutil.rmtree(office.runtime)


def remove_requests(office: PostOffice) -> None:
    os.unlink(socket_paths(office)[paths.ROUTER_SOCKET])


def put_another_in_place(office: PostOffice) -> None:
    path = socket_paths(office)[paths.ROUTER_SOCKET]
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)


def put_a_file_in_place(office: PostOffice) -> None:
    path = socket_paths(office)[paths.ROUTER_SOCKET]
    os.unlink(path)
    with open(path, "w", encoding="utf-8"):
        pass


@pytest.mark.parametrize(
    "removal",
    [
        remove_both,
        remove_directory,
        remove_all_above,
        remove_requests,
        put_another_in_place,
        put_a_file_in_place,
    ],
)
def test_sockets_that_were_removed_are_bound_again(
    open_office: PostOffice, removal: Callable[[PostOffice], None]
) -> None:
    """Connections that were open stay; new ones are served by the same broker."""
    pid, before = open_office.pid, open_office.client("ann")
    before.send("bob", "one")
    removal(open_office)
    eventually(lambda: listens(open_office.router()), "the socket is bound again", _BOUND_AGAIN_S)
    assert open_office.pid == pid
    before.send("bob", "two")
    with Client(open_office.router()) as operator:
        assert [message["message"] for message in operator.inbox(session="bob")["messages"]] == ["one", "two"]
        assert any("bound again" in warning for warning in operator.stats()["warnings"])
    mode = os.stat(paths.runtime_dir(open_office.data, open_office.environ)).st_mode & 0o777
    assert mode == 0o700


def test_the_socket_of_notices_alone(open_office: PostOffice) -> None:
    """A subscriber that was connected stays, and a new one is served."""
    found = find(open_office.data)
    assert found is not None
    before = Notices(found.notices, "bob")
    eventually(lambda: bool(before.drain()), "the first head")
    path = socket_paths(open_office)[paths.NOTICE_SOCKET]
    os.unlink(path)
    eventually(lambda: listens(f"ipc://{path}"), "the socket is bound again", _BOUND_AGAIN_S)
    after = Notices(found.notices, "bob")
    eventually(lambda: bool(after.drain()), "the head of a new subscriber")
    open_office.client("ann").send("bob", "one")
    for notices in (before, after):
        eventually(lambda notices=notices: bool(notices.drain()), "its notice")  # type: ignore[misc]
        notices.close()


def test_again_and_again(open_office: PostOffice) -> None:
    """No descriptor is left over, and the end removes the last socket's file."""
    pid = open_office.pid
    counts = []
    for _ in range(4):
        remove_both(open_office)
        for path in socket_paths(open_office).values():
            eventually(lambda path=path: listens(f"ipc://{path}"), "bound again", _BOUND_AGAIN_S)  # type: ignore[misc]
        counts.append(len(os.listdir(f"/proc/{pid}/fd")))
    # The count may fall: connections of the first rounds are closed meanwhile. A leak would add two a round.
    assert max(counts) - counts[0] <= 1, counts
    open_office.stop()
    assert not any(os.path.exists(path) for path in socket_paths(open_office).values())


def test_a_broker_whose_sockets_cannot_be_made_ends(open_office: PostOffice) -> None:
    """And its log, which is still there, says why."""
    shutil.rmtree(open_office.runtime)
    with open(open_office.runtime, "w", encoding="utf-8"):
        pass  # no directory can be made here
    assert open_office.wait_end() == 1
    with open(os.path.join(open_office.data, "logs", "broker.log"), encoding="utf-8") as file:
        assert "can't be made again" in file.read()
    os.unlink(open_office.runtime)
    open_office.start()  # nothing is in its way


def test_the_address_file_is_written_again(open_office: PostOffice) -> None:
    """Without it every command would try to start a broker."""
    path, before = paths.endpoints_file(open_office.data), find(open_office.data)
    os.unlink(path)
    eventually(lambda: find(open_office.data) == before, "it is there again", _BOUND_AGAIN_S)
    with open(path, "w", encoding="utf-8") as file:
        file.write("router=ipc:///nowhere\nnotices=ipc:///nowhere\npid=1\n")
    eventually(lambda: find(open_office.data) == before, "it says the truth again", _BOUND_AGAIN_S)
    open_office.stop()
    assert not os.path.exists(path)


# --- the lock ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["removed", "replaced", "renamed over"])
def test_a_broker_without_its_lock_ends(open_office: PostOffice, way: str) -> None:
    path = lock_file.path(open_office.data)
    if way == "renamed over":
        with open(f"{path}.new", "w", encoding="utf-8"):
            pass
        os.rename(f"{path}.new", path)
    else:
        os.unlink(path)
        if way == "replaced":
            with open(path, "w", encoding="utf-8"):
                pass
    assert open_office.wait_end() == 1
    assert path in reason(open_office)
    open_office.start()
    assert end_note.read(paths.runtime_dir(open_office.data, open_office.environ)) is None


@pytest.fixture
def second(open_office: PostOffice) -> Iterator[PostOffice]:
    """Another post office at the same data directory."""
    made = scratch(open_office.data)
    try:
        yield made
    finally:
        made.close()


def test_two_brokers_never_both_accept(open_office: PostOffice, second: PostOffice) -> None:
    """The lock is removed and a second broker starts: from its first answer on, the first one accepts nothing."""
    first = open_office.client("ann")
    first.send("bob", "one")
    os.unlink(lock_file.path(open_office.data))
    second.start()
    with pytest.raises(MaestroError) as caught:
        first.send("bob", "two")
    assert caught.value.kind == "unreachable"
    assert open_office.wait_end() == 1
    sent = second.client("ann").send("bob", "three")
    texts = [message["message"] for message in second.client("bob").inbox()["messages"]]
    assert (sent["seq"], texts[0], texts[-1]) == (len(texts), "one", "three")
    second.stop()


# --- the data directory ------------------------------------------------------------------------------------


def accepted_until_the_end(office: PostOffice, change: Callable[[], object]) -> tuple[int, int]:
    """Send without a pause while `change` is made; how many sends were accepted before it and after it."""
    changed, begun = threading.Event(), threading.Event()
    counts = [0, 0]

    def send() -> None:
        with Client(office.router(), Caller("ann"), timeout_s=5.0) as client, contextlib.suppress(MaestroError):
            while True:
                was_changed = changed.is_set()
                client.send("bob", "text")
                counts[was_changed] += 1
                begun.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert begun.wait(30.0)
    change()
    changed.set()
    sender.join(60.0)
    return counts[0], counts[1]


@pytest.mark.parametrize("way", ["removed", "moved", "replaced", "journal removed"])
def test_nothing_is_accepted_without_the_directory(open_office: PostOffice, way: str) -> None:
    """Not between two looks either: a send that begins after the change is never accepted."""
    data, aside = open_office.data, os.path.join(open_office.root, "aside")

    def change() -> None:
        if way == "removed":
            shutil.rmtree(data, ignore_errors=True)
        elif way == "journal removed":
            shutil.rmtree(os.path.join(data, "messages", "journal"), ignore_errors=True)
        else:
            os.rename(data, aside)
            if way == "replaced":
                shutil.copytree(aside, data, symlinks=True)

    before, after = accepted_until_the_end(open_office, change)
    assert before > 0
    assert after == 0
    assert open_office.wait_end() == 1
    assert data in reason(open_office)


def test_an_idle_broker_ends_when_its_directory_is_gone(open_office: PostOffice) -> None:
    while os.path.exists(open_office.data):  # the broker makes and removes files meanwhile
        shutil.rmtree(open_office.data, ignore_errors=True)
    assert open_office.wait_end() == 1
    assert open_office.data in reason(open_office)
    open_office.start()  # a new post office, in the same place
    assert end_note.read(paths.runtime_dir(open_office.data, open_office.environ)) is None
