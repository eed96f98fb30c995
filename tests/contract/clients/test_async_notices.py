"""Notices for many sessions on one socket: which events cause one, and that a gap is reported."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from typing import TYPE_CHECKING

import pytest

from maestro_clients.async_client import AsyncClient
from maestro_clients.mailbox.async_notices import EVERYTHING, AsyncNotices, NoticeLinkState
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.codec import Notice
from maestro_schemas.errors import MaestroError
from support.post_office import own_id

if TYPE_CHECKING:
    from support.post_office import PostOffice

SOON_S = 15.0


def address(office: PostOffice) -> str:
    found = find(office.data)
    assert found is not None
    return found.notices


async def item(notices: AsyncNotices) -> Notice | NoticeLinkState:
    async with asyncio.timeout(SOON_S):
        return await anext(notices)


async def until(notices: AsyncNotices, wanted: Notice | NoticeLinkState | str) -> list[Notice | NoticeLinkState]:
    """All items up to and including a link state, or a notice of an event."""
    seen: list[Notice | NoticeLinkState] = []
    while True:
        seen.append(await item(notices))
        last = seen[-1]
        if last is wanted or (isinstance(last, Notice) and last.event["event"] == wanted):
            return seen


def about(seen: list[Notice | NoticeLinkState], event: str) -> list[tuple[str, str]]:
    """The session and the message id of each notice of an event."""
    return [
        (one.session, one.event.get("id", ""))
        for one in seen
        if isinstance(one, Notice) and one.event["event"] == event
    ]


async def accepted(notices: AsyncNotices) -> list[tuple[str, str]]:
    """The notices of accepted messages up to the next one."""
    return about(await until(notices, "message.accepted"), "message.accepted")


def test_every_event_after_connected_is_noticed(open_office: PostOffice) -> None:
    """Each party gets one notice. The subscription probes of other observers cause none."""

    async def main() -> None:
        where = address(open_office)
        async with AsyncNotices(where) as notices, AsyncClient(open_office.router(), Caller("ann")) as client:
            assert await item(notices) is NoticeLinkState.CONNECTED
            async with AsyncNotices(where, ["bob"]) as other:
                await until(other, NoticeLinkState.CONNECTED)
                for number in range(50):
                    await client.send("bob", "x", message_id=f"m{number}")
                await client.end_session()
                seen = await until(notices, "session.ended")
            assert {one.session for one in seen if isinstance(one, Notice)} == {"ann", "bob"}
            expected = [(who, own_id("ann", f"m{number}")) for number in range(50) for who in ("bob", "ann")]
            assert about(seen, "message.accepted") == expected

    asyncio.run(main())


def test_sessions_are_added_and_removed(open_office: PostOffice) -> None:
    """A head shows that a subscription is active. A removed session causes no more notices."""
    open_office.sessions("cyd")

    async def main() -> None:
        async with (
            AsyncNotices(address(open_office), ["bob"]) as notices,
            AsyncClient(open_office.router(), Caller("ann")) as client,
        ):
            assert await until(notices, NoticeLinkState.CONNECTED)
            await client.send("bob", "x", message_id="m1")
            await client.send("cyd", "x", message_id="m2")
            notices.add("cyd")
            notices.add("cyd")
            seen = await until(notices, "head")
            assert about(seen, "message.accepted") == [("bob", own_id("ann", "m1"))]
            await client.send("cyd", "x", message_id="m3")
            assert about(await until(notices, "message.accepted"), "message.accepted") == [
                ("cyd", own_id("ann", "m3"))
            ]
            notices.remove("bob")
            notices.add("ann")
            assert notices.sessions == {"ann", "cyd"}
            await until(notices, "head")
            await client.send("bob", "x", message_id="m4")
            assert about(await until(notices, "message.accepted"), "message.accepted") == [
                ("ann", own_id("ann", "m4"))
            ]
            notices.add(EVERYTHING)
            assert await until(notices, NoticeLinkState.LOST)
            await until(notices, NoticeLinkState.CONNECTED)
            await client.send("bob", "x", message_id="m5")
            while ("bob", own_id("ann", "m5")) not in about([await item(notices)], "message.accepted"):
                pass  # heads, and notices for the other party

    asyncio.run(main())


def test_a_lost_connection_is_reported_and_the_gap_can_be_closed(open_office: PostOffice) -> None:
    """LOST and CONNECTED are reported, and `events` returns everything in between."""

    async def main() -> None:
        async with AsyncNotices(address(open_office)) as notices, AsyncClient(open_office.router()) as client:
            assert await item(notices) is NoticeLinkState.CONNECTED
            head = (await client.hello())["headLsn"]
            for number in range(3):
                open_office.kill()
                assert await item(notices) is NoticeLinkState.LOST
                await asyncio.to_thread(open_office.start)
                await asyncio.to_thread(open_office.client("ann").send, "bob", "x", message_id=f"gap{number}")
                await until(notices, NoticeLinkState.CONNECTED)
                await client.send("bob", "x", message_id=f"m{number}", caller=Caller("ann"))
                while ("ann", own_id("ann", f"m{number}")) not in about([await item(notices)], "message.accepted"):
                    pass  # notices for the other party, or about the send before
                page = await client.events(head)
                head = page["upTo"]
                assert {own_id("ann", f"{key}{number}") for key in ("gap", "m")} <= {
                    event.get("id") for event in page["events"]
                }

    asyncio.run(main())


def test_a_broker_elsewhere(open_office: PostOffice) -> None:
    """The notices move to the new address and report LOST and CONNECTED."""

    async def main() -> None:
        async with AsyncNotices(address(open_office)) as notices:
            assert await item(notices) is NoticeLinkState.CONNECTED
            open_office.stop()
            assert await item(notices) is NoticeLinkState.LOST
            open_office.environ["MAESTRO_RUNTIME_DIR"] = os.path.join(open_office.root, "elsewhere")
            notices.move(open_office.start().notices)
            assert await item(notices) is NoticeLinkState.CONNECTED

    asyncio.run(main())


def test_an_overflow_is_reported_in_its_place(open_office: PostOffice) -> None:
    """The queue is bounded. One OVERFLOWED item replaces the dropped notices, and later events are noticed again."""

    async def main() -> None:
        async with (
            AsyncNotices(address(open_office), ["bob"], queue_max=10) as notices,
            AsyncNotices(address(open_office), ["bob"]) as large,
            AsyncClient(open_office.router(), Caller("ann")) as client,
        ):
            await until(notices, NoticeLinkState.CONNECTED)
            await until(large, NoticeLinkState.CONNECTED)
            await asyncio.gather(*(client.send("bob", "x") for _ in range(30)))
            for _ in range(30):
                await until(large, "message.accepted")
            seen = await until(notices, NoticeLinkState.OVERFLOWED)
            assert len(about(seen, "message.accepted")) <= 10
            # Some of the thirty may still be on their way, and overflow the queue once more.
            for number in count():
                probe = ("bob", own_id("ann", f"after{number}"))
                await client.send("bob", "x", message_id=f"after{number}")
                last = await item(notices)
                while last is not NoticeLinkState.OVERFLOWED and probe not in about([last], "message.accepted"):
                    last = await item(notices)
                if last is not NoticeLinkState.OVERFLOWED:
                    return

    asyncio.run(main())


def test_the_end(open_office: PostOffice) -> None:
    """A waiting iteration ends, and later uses are refused. Closing twice is allowed."""

    async def main() -> None:
        notices = AsyncNotices(address(open_office), ["bob"])
        seen: list[Notice | NoticeLinkState] = []

        async def consume() -> None:
            async for one in notices:
                seen.append(one)
                if one is NoticeLinkState.CONNECTED:
                    connected.set()

        connected = asyncio.Event()
        consumer = asyncio.create_task(consume())
        await connected.wait()
        await notices.aclose()
        await notices.aclose()
        async with asyncio.timeout(SOON_S):
            await consumer
        assert NoticeLinkState.CONNECTED in seen
        for use in (notices.add, notices.remove, notices.move):
            with pytest.raises(MaestroError) as raised:
                use("ann")
            assert raised.value.code == "BAD_REQUEST"

    asyncio.run(main())


def test_an_invalid_address() -> None:
    """It causes a typed error."""

    async def main() -> None:
        with pytest.raises(MaestroError) as raised:
            await anext(AsyncNotices("nonsense"))
        assert raised.value.code == "BROKER_UNREACHABLE"

    asyncio.run(main())
