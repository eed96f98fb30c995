"""The asynchronous client's own behaviour: tasks on one socket, cancellation, patience, event loops, processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.async_client import AsyncClient
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.errors import MaestroError
from support.post_office import own_id

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

ANN, BOB = Caller("ann"), Caller("bob")


def outgoing(count: int, text: str = "x") -> list[OutgoingDoc]:
    return [{"id": own_id("ann", new_message_id()), "to": "bob", "message": text} for _ in range(count)]


async def code_of(call: Coroutine[Any, Any, object]) -> str:
    """The code of the error with which a call must end."""
    with pytest.raises(MaestroError) as raised:
        await call
    return raised.value.code


async def let_others_run() -> None:
    """One turn of the event loop, which is enough for a task to begin."""
    await asyncio.sleep(0)


def test_pages_of_what_was_said(open_office: PostOffice) -> None:
    """The newest page first; with `after` the oldest first; for the caller that the call names."""

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN) as client:
            for number in range(5):
                await client.send("bob", str(number))
            back = [page async for page in client.message_pages(limit=2)]
            assert [[said["message"]["message"] for said in page["messages"]] for page in back] == [
                ["3", "4"],
                ["1", "2"],
                ["0"],
            ]
            on = [page async for page in client.message_pages(after=0, limit=3, with_="ann", caller=BOB)]
            assert [len(page["messages"]) for page in on] == [3, 2]
            assert (on[0]["with"], on[0]["session"]) == ("ann", "bob")
            assert (await client.messages("bob", box="in"))["messages"] == []

    asyncio.run(main())


# --- many tasks ------------------------------------------------------------------------------------------------


def test_two_hundred_tasks_on_one_client(open_office: PostOffice) -> None:
    """Each task gets its own answer or its own error."""

    async def main() -> None:
        async with AsyncClient(open_office.router()) as client:

            async def letter(number: int) -> None:
                sent = await client.send("bob", str(number), message_id=f"m{number}", caller=ANN)
                assert (sent["id"], sent["status"]) == (own_id("ann", f"m{number}"), 201)
                assert (await client.message(own_id("ann", f"m{number}"), caller=BOB))["message"] == str(number)
                assert await code_of(client.message(f"none{number}")) == "MESSAGE_NOT_FOUND"

            await asyncio.gather(*map(letter, range(200)))
            assert (await client.stats())["mailboxes"]["pending"] == 200

    asyncio.run(main())


def test_each_call_may_name_its_own_caller(open_office: PostOffice) -> None:
    """Calls of several callers, with tokens, share one socket at once. The default is the client's own caller."""
    open_office.session("cyd", token="secret")

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN) as client:
            who = [None, ANN, BOB, Caller("cyd", "secret")]
            found = await asyncio.gather(*(client.session(caller=caller) for caller in who))
            assert [session["id"] for session in found] == ["ann", "ann", "bob", "cyd"]
            assert await code_of(client.session(caller=Caller("cyd"))) == "TOKEN_REQUIRED"
            assert (await client.call("session.get", {}, caller=BOB))["session"]["id"] == "bob"
            assert await code_of(client.session(caller=Caller())) == "NO_SESSION"

    asyncio.run(main())


def test_a_cancelled_call_harms_no_other(open_office: PostOffice) -> None:
    """The client drops the answer to a cancelled call; every other call gets its own answer."""

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN) as client:
            await client.hello()
            open_office.pause()
            tasks = [asyncio.create_task(client.send("bob", str(number))) for number in range(40)]
            await let_others_run()
            for task in tasks[::2]:
                task.cancel()
            open_office.resume()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
            assert all(isinstance(result, dict) for result in results[1::2])
            assert (await client.hello())["pid"] == open_office.pid
            # The cancelled sends were in flight already, so the broker accepted them. Their callers can't know.
            assert (await client.inbox(caller=BOB))["count"] == 40

    asyncio.run(main())


def test_a_time_limit_of_the_callers_own(open_office: PostOffice) -> None:
    """`asyncio.timeout` cancels the call, and the client still works."""

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN) as client:
            await client.hello()
            open_office.pause()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.send("bob", "x")
            shorter = client.call("hello", {}, timeout_s=0.2)
            longer = asyncio.create_task(client.hello())
            assert await code_of(shorter) == "TIMEOUT"
            open_office.resume()
            assert (await longer)["pid"] == open_office.pid

    asyncio.run(main())


def test_a_pipeline_beside_other_calls(open_office: PostOffice) -> None:
    """As with the blocking client, results are in order and in-flight sends are bounded. A pipeline that is left
    early leaves nothing."""
    taken = 0

    def source() -> Any:
        nonlocal taken
        for item in outgoing(100):
            taken += 1
            yield item

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN) as client:
            seqs = []
            async for result in client.pipeline(source(), in_flight=8):
                seqs.append(result.get("seq"))
                assert taken - len(seqs) < 8
                if len(seqs) % 20 == 0:
                    assert (await client.hello())["pid"] == open_office.pid
            assert sorted(seq or 0 for seq in seqs) == list(range(1, 101))
            async with contextlib.aclosing(client.pipeline(outgoing(50))) as pipeline:  # type: ignore[type-var]
                assert (await anext(pipeline))["status"] == 201
            assert (await client.send("bob", "after"))["status"] == 201

    asyncio.run(main())


def test_more_than_a_socket_takes(open_office: PostOffice) -> None:
    """While the broker does not read, requests wait in the client and other tasks run. All requests arrive."""

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN, timeout_s=10.0) as client:
            await client.hello()
            open_office.pause()
            batches = [outgoing(90, "y" * 10_000) for _ in range(16)]
            tasks = [asyncio.create_task(client.send_many(batch)) for batch in batches]
            began_s = time.process_time()
            assert await code_of(client.call("hello", {}, timeout_s=0.5)) == "TIMEOUT"
            assert time.process_time() - began_s < 0.25, "no loop spins meanwhile"
            open_office.resume()
            for batch, results in zip(batches, await asyncio.gather(*tasks), strict=True):
                assert [result["id"] for result in results] == [item["id"] for item in batch]
            assert (await client.inbox(since=0, limit=1, caller=BOB))["headSeq"] == 1_440

    asyncio.run(main())


def test_a_peer_with_another_protocol(post_office: PostOffice) -> None:
    """The call fails at once, not after the whole timeout."""
    address = os.path.join(post_office.root, "other.sock")
    os.makedirs(post_office.root, exist_ok=True)

    async def main() -> None:
        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_unix_server(speak, address), AsyncClient(f"ipc://{address}") as client:
            for _ in range(2):
                assert await code_of(client.hello()) == "UNSUPPORTED_PROTOCOL"

    asyncio.run(main())


# --- broker restarts -------------------------------------------------------------------------------------------


def test_a_broker_killed_in_mid_flight(open_office: PostOffice) -> None:
    """Impatient tasks repeat failed sends through three kills. Every accepted message is there exactly once."""
    tasks_count, each = 20, 15

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN) as client:
            accepted: list[str] = []
            reached = {share * tasks_count * each // 4: asyncio.Event() for share in (1, 2, 3)}

            async def sender(task: int) -> None:
                for number in range(each):
                    message_id = f"m{task}-{number}"
                    while True:
                        try:
                            sent = await client.send("bob", message_id, message_id=message_id)
                        except MaestroError as error:
                            assert error.code in ("BROKER_UNREACHABLE", "STOPPING")
                            continue
                        assert sent["status"] in (200, 201)
                        accepted.append(sent["id"])
                        if len(accepted) in reached:
                            reached[len(accepted)].set()
                        break

            async def killer() -> None:
                for enough in reached.values():
                    await enough.wait()
                    open_office.kill()
                    await asyncio.to_thread(open_office.start)

            await asyncio.gather(killer(), *map(sender, range(tasks_count)))
            page = await client.inbox(since=0, limit=1_000, caller=BOB)
            assert sorted(found["id"] for found in page["messages"]) == sorted(accepted)
            assert page["headSeq"] == tasks_count * each

    asyncio.run(main())


def test_patient_calls_outlive_the_broker(open_office: PostOffice) -> None:
    """Waiting requests are sent again to the next broker, and each is one message."""

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN, timeout_s=60.0, patient=True) as client:
            await client.hello()
            open_office.pause()
            tasks = [asyncio.create_task(client.send("bob", str(number))) for number in range(50)]
            await let_others_run()
            open_office.kill()
            await asyncio.to_thread(open_office.start)
            assert {result["status"] for result in await asyncio.gather(*tasks)} <= {200, 201}
            assert (await client.inbox(since=0, caller=BOB))["headSeq"] == 50

    asyncio.run(main())


def test_patience_ends(post_office: PostOffice) -> None:
    """Without a broker it ends at the call's deadline."""

    async def main() -> None:
        async with AsyncClient(post_office.router(), timeout_s=1.0, patient=True) as client:
            began_s = time.monotonic()
            assert await code_of(client.hello()) == "BROKER_UNREACHABLE"
            assert 0.9 < time.monotonic() - began_s < 3.0

    asyncio.run(main())


def test_a_broker_that_comes_back_elsewhere(open_office: PostOffice) -> None:
    """The client moves to the new address, and a waiting call moves with it."""

    async def main() -> None:
        async with AsyncClient(open_office.router(), ANN, patient=True) as client:
            await client.hello()
            await asyncio.to_thread(open_office.stop)
            waits = asyncio.create_task(client.send("bob", "x"))
            await let_others_run()
            open_office.environ["MAESTRO_RUNTIME_DIR"] = os.path.join(open_office.root, "elsewhere")
            moved = await asyncio.to_thread(open_office.start)
            client.move(moved.router)
            assert client.address == moved.router
            assert (await waits)["status"] == 201
            assert (await client.hello())["pid"] == moved.pid

    asyncio.run(main())


# --- the end ---------------------------------------------------------------------------------------------------


def test_closing_ends_waiting_calls(open_office: PostOffice) -> None:
    """They end with an error, and so does a later use. Closing twice is allowed."""

    async def main() -> None:
        client = AsyncClient(open_office.router(), ANN)
        await client.hello()
        open_office.pause()
        waits = asyncio.create_task(client.send("bob", "x"))
        await let_others_run()
        await client.aclose()
        open_office.resume()
        assert await code_of(waits) == "BAD_REQUEST"  # type: ignore[arg-type]
        await client.aclose()
        assert await code_of(client.hello()) == "BAD_REQUEST"
        with pytest.raises(MaestroError):
            client.move("ipc:///nowhere")

    asyncio.run(main())


def test_another_event_loop_is_refused(open_office: PostOffice) -> None:
    """A second event loop would never receive its answers."""
    client = AsyncClient(open_office.router())
    with asyncio.Runner() as first:
        first.run(client.hello())
        assert asyncio.run(code_of(client.hello())) == "BAD_REQUEST"
        assert first.run(client.hello())["pid"] == open_office.pid
        first.run(client.aclose())


FORKING = """
import asyncio, os, sys
from maestro_clients.async_client import AsyncClient
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError

async def in_child(client):
    try:
        await client.hello()
    except MaestroError as error:
        assert error.code == "BAD_REQUEST", error
        await client.aclose()
        return 7
    return 1

async def main():
    client = AsyncClient(sys.argv[1], Caller("ann"))
    await client.hello()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            in_child(client).send(None)
        except StopIteration as stop:
            code = stop.value
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert (await client.send("bob", "from the parent"))["status"] == 201
    await client.aclose()

asyncio.run(main())
"""


def test_a_forked_child_is_refused(open_office: PostOffice) -> None:
    """The parent's client goes on, although the child closed its copy."""
    command = [sys.executable, "-c", FORKING, open_office.router()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
