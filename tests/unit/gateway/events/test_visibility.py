"""The sessions that may see an event, while several tasks learn of sessions at the same time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from maestro_clients.protocol.callers import Caller
from maestro_gateway.events.visibility import Directory, Principal, authenticate
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event

MAIL = Event(lsn=9, at=9, event="message.accepted", id="msg_1", sender="bob", receiver="cyd", seq=1)
OLD = Event(lsn=2, at=2, event="session.started", session="cyd")
OLD_TOO = Event(lsn=3, at=3, event="session.started", session="bob")


class Broker:
    """Knows sessions by their projects. A request for a session in `held` waits until `release`."""

    def __init__(self, **projects: str) -> None:
        self.projects = projects
        self.asked: list[str] = []
        self.held: set[str] = set()
        self._released = asyncio.Event()

    async def session(self, session: str | None = None, *, caller: Caller | None = None) -> dict[str, Any]:
        """As `AsyncClient.session`."""
        session = session or (caller.session if caller is not None else None) or ""
        self.asked.append(session)
        project = self.projects.get(session)
        if session in self.held:
            await self._released.wait()
        if project is None:
            raise MaestroError("SESSION_NOT_FOUND", "no such session")
        return {"id": session, "projectId": project, "role": "orchestrator"}

    def release(self) -> None:
        """Answer all requests."""
        self._released.set()

    async def until_asked(self, count: int) -> None:
        """Wait until there were `count` requests in all."""
        for _ in range(100):
            if len(self.asked) >= count:
                return
            await asyncio.sleep(0)
        raise AssertionError(self.asked)

    def directory(self) -> Directory:
        """A directory that asks this broker."""
        return Directory(self.broker_link())

    def broker_link(self) -> Any:
        """The link to it."""
        return SimpleNamespace(client=self)


def test_a_replay_takes_nothing_from_the_live_ones() -> None:
    """While sessions of old events are asked for again, an orchestrator of their project still sees new events."""

    async def scene() -> None:
        broker = Broker(bob="shop", cyd="shop")
        directory = broker.directory()
        boss = Principal("ann", "orchestrator", "shop", directory)
        await directory.learn([MAIL])
        broker.held = {"bob", "cyd"}
        replay = asyncio.create_task(directory.learn([OLD, OLD_TOO]))
        await broker.until_asked(4)
        assert boss.sees(MAIL)
        broker.release()
        await replay
        assert boss.sees(MAIL)

    asyncio.run(scene())


def test_a_session_that_an_event_has_changed_is_asked_for_again() -> None:
    async def scene() -> None:
        broker = Broker(bob="shop", cyd="shop")
        directory = broker.directory()
        boss = Principal("ann", "orchestrator", "office", directory)
        await directory.learn([MAIL])
        assert not boss.sees(MAIL)
        broker.projects |= {"bob": "office", "cyd": "office"}
        await directory.learn([OLD])
        assert not boss.sees(MAIL), "bob is as he was known"
        await directory.learn([OLD_TOO])
        assert boss.sees(MAIL)

    asyncio.run(scene())


def test_a_later_answer_is_not_overwritten() -> None:
    """An earlier request's answer, among others that are slow, does not replace a newer one."""

    async def scene() -> None:
        broker = Broker(bob="shop", cyd="shop")
        directory = broker.directory()
        broker.held = {"bob"}
        first = asyncio.create_task(directory.learn([OLD, OLD_TOO]))
        await broker.until_asked(2)
        broker.projects["cyd"] = "office"
        await directory.learn([OLD])
        broker.release()
        await first
        assert directory.project_of("cyd") == "office"

    asyncio.run(scene())


def test_a_stale_session_counts_until_it_is_asked_for_again() -> None:
    async def scene() -> None:
        broker = Broker(bob="shop", cyd="shop", ann="shop")
        directory = broker.directory()
        await directory.learn([MAIL])
        broker.projects |= {"bob": "office", "cyd": "office", "ann": "office"}
        directory.mark_stale()
        assert directory.project_of("cyd") == "shop"
        await directory.learn([MAIL])
        assert directory.project_of("cyd") == "office"
        asked = len(broker.asked)
        await directory.learn([MAIL])
        assert len(broker.asked) == asked, "once"

    asyncio.run(scene())


def test_an_authenticated_session_is_known_as_it_is_now() -> None:
    """Also where the directory has sessions from a time before the feed was read."""

    async def scene() -> None:
        broker = Broker(ann="shop", bob="office", cyd="office")
        directory = broker.directory()
        await directory.learn([Event(lsn=1, at=1, event="session.started", session="ann")])
        broker.projects["ann"] = "office"
        directory.mark_stale()
        boss = await authenticate(cast("Any", broker.broker_link()), directory, Caller("ann"), needs_token=False)
        await directory.learn([MAIL])
        assert boss.sees(MAIL)

    asyncio.run(scene())
