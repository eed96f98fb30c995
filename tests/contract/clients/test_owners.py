"""Owners: no client gives a byte to another user's process, or takes one from it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
from typing import TYPE_CHECKING, cast

import pytest

from maestro_clients.async_client import AsyncClient
from maestro_clients.channel import one_shot
from maestro_clients.client import Client
from maestro_clients.durable_send import send_or_queue
from maestro_clients.mailbox.async_notices import AsyncNotices, NoticeLinkState
from maestro_clients.mailbox.notices import Notices
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.outbox import outbox_files
from maestro_clients.processes.broker_process import connect_if_running, ensure, find
from maestro_clients.protocol.callers import Caller
from maestro_clients.transports.addresses import listens
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from support.eavesdropper import Eavesdropper, take_places
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice
    from support.users import OtherUser


class Trap:
    """A post office whose broker was killed, and another user's processes at both of its sockets."""

    def __init__(self, office: PostOffice, user: OtherUser) -> None:
        office.start()
        office.sessions("ann", "bob")
        office.kill()
        self.office = office
        self.router = office.router()
        path = self.router.removeprefix("ipc://")
        self.notices = os.path.join(os.path.dirname(path), paths.NOTICE_SOCKET)
        for taken in (path, self.notices):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(taken)
        self.eavesdroppers = take_places(user, path, self.notices)

    def heard_bytes(self) -> int:
        return sum(one.heard_bytes() for one in self.eavesdroppers)


@pytest.fixture
def trap(post_office: PostOffice, other_user: OtherUser) -> Iterator[Trap]:
    made = Trap(post_office, other_user)
    yield made
    assert made.heard_bytes() == 0


def refused(call: Callable[[], object]) -> MaestroError:
    with pytest.raises(MaestroError) as caught:
        call()
    assert caught.value.code == "NOT_PRIVATE"
    assert "Nothing was sent" in caught.value.message
    assert "MAESTRO_RUNTIME_DIR" in caught.value.hint
    return caught.value


def test_the_blocking_client(trap: Trap) -> None:
    with Client(trap.router, Caller("ann", "secret"), timeout_s=2.0) as client:
        refused(lambda: client.send("bob", "a secret"))


def test_a_patient_client_does_not_wait_for_a_stranger(trap: Trap) -> None:
    with Client(trap.router, Caller("ann", "secret"), timeout_s=20.0, patient=True) as client:
        refused(lambda: client.send("bob", "a secret"))


def test_the_asyncio_client(trap: Trap) -> None:
    async def send() -> None:
        async with AsyncClient(trap.router, Caller("ann", "secret"), timeout_s=2.0) as client:
            await client.send("bob", "a secret")

    refused(lambda: asyncio.run(send()))


def test_the_fast_path_leaves_the_words_to_the_others(trap: Trap) -> None:
    path = one_shot.router_path(trap.office.data)
    assert path is not None
    connection = one_shot.OneShotConnection(path)
    assert not connection.open()
    assert one_shot.ask(path, b"send", {"as": {"session": "ann", "token": "secret"}}) is None


def test_finding_a_broker(trap: Trap) -> None:
    office = trap.office
    refused(lambda: listens(trap.router))
    refused(lambda: find(office.data))
    refused(lambda: connect_if_running(office.data, office.environ))
    refused(lambda: ensure(office.data, office.environ, autostart=False))


def test_a_send_that_may_start_no_broker(trap: Trap) -> None:
    """It does not go to the outbox either: the user must hear of this."""
    office = trap.office
    outgoing = cast("OutgoingDoc", {"id": "m1", "to": "bob", "text": "a secret"})
    ann = Caller("ann", "secret")
    refused(lambda: send_or_queue(office.data, office.environ, ann, outgoing, autostart=False))
    assert outbox_files.entries(office.data) == []


def test_subscriptions(trap: Trap) -> None:
    """libzmq makes these connections, whenever it likes."""

    async def listen() -> None:
        async with AsyncNotices(f"ipc://{trap.notices}", ["ann"]) as notices:
            await anext(notices)

    refused(lambda: Notices(f"ipc://{trap.notices}", "ann"))
    refused(lambda: asyncio.run(listen()))


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_subscription_never_follows_the_directory_to_a_stranger(
    open_office: PostOffice, other_user: OtherUser, kind: str
) -> None:
    """The broker is killed, the directory is moved away, and another user makes one in its place and listens."""
    found = find(open_office.data)
    assert found is not None
    path = found.notices.removeprefix("ipc://")
    directory = os.path.dirname(path)

    def put_a_stranger_there() -> Eavesdropper:
        open_office.kill()
        os.rename(directory, f"{directory}.away")
        os.chmod(open_office.root, 0o755)
        os.chmod(open_office.runtime, 0o755)
        os.mkdir(directory)
        os.chown(directory, other_user.uid, other_user.gid)
        os.chmod(directory, 0o755)
        return Eavesdropper(other_user, path)

    if kind == "blocking":
        notices = Notices(found.notices, "ann")
        eventually(lambda: bool(notices.drain()), "the first head")
        stranger = put_a_stranger_there()
        assert notices.monitor.poll(10_000)
        # Ten times as long as libzmq waits between two attempts.
        select.select([], [], [], 2.0)
        notices.close()
    else:

        async def listen() -> Eavesdropper:
            async with AsyncNotices(found.notices, ["ann"]) as notices:
                while await anext(notices) is not NoticeLinkState.CONNECTED:
                    pass
                there = put_a_stranger_there()
                refusals: list[str] = []
                while not refusals:
                    try:
                        await anext(notices)
                    except MaestroError as error:
                        refusals.append(error.code)
                assert refusals == ["NOT_PRIVATE"]
                return there

        stranger = asyncio.run(listen())
    assert stranger.heard_bytes() == 0
    shutil.rmtree(directory)


def test_a_subscription_finds_the_directory_that_a_broker_made_again(open_office: PostOffice) -> None:
    found = find(open_office.data)
    assert found is not None

    async def listen() -> None:
        async with AsyncNotices(found.notices, ["ann"]) as notices, asyncio.timeout(60):
            while await anext(notices) is not NoticeLinkState.CONNECTED:
                pass
            open_office.kill()
            shutil.rmtree(open_office.runtime)
            while await anext(notices) is not NoticeLinkState.LOST:
                pass
            open_office.start()
            while await anext(notices) is not NoticeLinkState.CONNECTED:
                pass

    asyncio.run(listen())


def test_an_abstract_name_is_no_place_for_notices() -> None:
    with pytest.raises(MaestroError, match="abstract"):
        Notices("ipc://@maestro", "ann")


def test_a_watcher(trap: Trap) -> None:
    environ = {**trap.office.environ, "MAESTRO_AUTOSTART": "0"}
    refused(lambda: Watcher(trap.office.data, environ, Caller("ann", "secret")))


def test_an_abstract_name(other_user: OtherUser) -> None:
    """It is in no directory, so its peer alone says whose it is."""
    name = f"maestro-{os.getpid()}"
    script = f"import socket; s = socket.socket(1); s.bind(chr(0) + {name!r}); s.listen(); print(flush=True); input()"
    listener = other_user.start(other_user.python, "-c", script, stdin=-1)
    assert listener.stdout is not None
    assert listener.stdout.readline() == b"\n"
    with Client(f"ipc://@{name}", timeout_s=2.0) as client:
        refused(client.hello)


def test_a_directory_of_another_user(other_user: OtherUser) -> None:
    """The directory is refused before a connection is made."""
    os.chmod(other_user.home, 0o755)
    there = Eavesdropper(other_user, other_user.path("broker.sock"))
    with (
        Client(f"ipc://{there.path}", Caller("ann", "secret"), timeout_s=2.0) as client,
        pytest.raises(MaestroError) as caught,
    ):
        client.send("bob", "a secret")
    assert caught.value.code == "NOT_PRIVATE"
    assert there.heard_bytes() == 0


def test_a_directory_that_others_may_write_to(open_office: PostOffice) -> None:
    """Its own broker listens there, and nothing says that it will a moment later."""
    directory = os.path.dirname(open_office.router().removeprefix("ipc://"))
    os.chmod(directory, 0o777)
    with Client(open_office.router(), timeout_s=2.0) as client:
        with pytest.raises(MaestroError, match="written to by other users"):
            client.hello()
        os.chmod(directory, 0o700)
        client.hello()


def test_a_broker_starts_where_the_user_says(trap: Trap) -> None:
    """The stranger's sockets are left alone, and mail is served elsewhere."""
    office = trap.office
    office.environ["MAESTRO_RUNTIME_DIR"] = os.path.join(office.root, "elsewhere")
    found = ensure(office.data, office.environ, autostart=True, timeout_s=20.0)
    assert found.router != trap.router
    with Client(found.router, Caller("ann")) as client:
        assert client.send("bob", "a secret")["status"] == 201
