"""A worker on another machine. The network link delays, loses packets and is cut: no message is lost or repeated."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from fault import network
from fault.network import NEAR, Network
from maestro_clients.protocol.callers import Caller
from support.far_office import far_environ, make_key, open_door
from support.post_office import own_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.post_office import PostOffice

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "remote_worker.py")
_END_S = 100.0


class _Worker:
    """A process on the other machine; `printed` grows with each line that it prints."""

    def __init__(self, net: Network, environ: dict[str, str], task: str, count: int) -> None:
        self._process = subprocess.Popen(
            [*net.far, sys.executable, _WORKER, task, str(count)], env=environ, stdout=subprocess.PIPE, text=True
        )
        self.printed: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as out:
            self.printed.extend(line.strip() for line in out)  # one by one: the test reads it while it grows

    def ended(self) -> int:
        """Wait for its end, and for all of its output. Returns the exit status."""
        code = self._process.wait(_END_S)
        self._reader.join()
        return code

    def kill(self) -> None:
        self._process.kill()
        self.ended()


@pytest.mark.parametrize(
    ("count", "cuts", "cut_s"), [(80, 1, 2.0), pytest.param(600, 3, 9.0, marks=pytest.mark.long)]
)
def test_nothing_is_lost_on_a_bad_link(post_office: PostOffice, count: int, cuts: int, cut_s: float) -> None:
    network.require()
    seed = int(os.environ.get("MAESTRO_TEST_SEED", random.randrange(1 << 32)))
    with Network(delay_ms=50, loss=0.1, seed=seed) as net:
        print(f"seed {seed}, {net.kind}" + (": this kernel has no netem" if net.kind == "tun" else ""))
        address = open_door(post_office, NEAR, 5570)
        post_office.launcher = net.near
        post_office.start()
        post_office.sessions("ann", "bob")
        key = make_key(post_office, "far", sessions=("bob",))
        environ = {**far_environ(post_office, address, key), "MAESTRO_SESSION_ID": "bob"}
        watcher, sender = (_Worker(net, environ, task, count) for task in ("watch", "send"))
        received, sent = watcher.printed, sender.printed
        near = post_office.client("ann")
        try:
            for number in range(count):
                near.send("bob", f"near_{number}")
            for cut in range(cuts):
                _wait_for(lambda: len(received) + len(sent), (cut + 1) * count // (cuts + 1))
                net.cut()
                # In the long form, this is longer than the silence after which both ends treat the link as lost.
                threading.Event().wait(cut_s)
                near.send("bob", f"cut_{cut}")
                net.heal()
            assert sender.ended() == 0
            assert watcher.ended() == 0
        finally:
            watcher.kill()
            sender.kill()
        with post_office.client() as operator:
            mail: list[str] = []
            while len(page := operator.inbox(session="ann", since=len(mail))["messages"]) > 0:
                mail += [message["message"] for message in page]
            stats = operator.stats()["tcp"]
    assert sorted(sent) == sorted(set(sent)) == sorted(own_id("bob", f"far_{number}") for number in range(count))
    assert sorted(mail) == sorted(sent), "each on disk once"
    assert received == [f"near_{number}" for number in range(count)], "each shown once, in order"
    assert stats["refusedHandshakes"] == 0


def _wait_for(value: Callable[[], int], goal: int) -> None:
    give_up_s = time.monotonic() + _END_S
    while value() < goal:
        assert time.monotonic() < give_up_s, f"{value()} of {goal}"
        threading.Event().wait(0.02)


@pytest.mark.long
def test_commands_on_a_cut_link_queue_and_catch_up(post_office: PostOffice) -> None:
    network.require()
    with Network(delay_ms=20, loss=0.02, seed=7) as net:
        address = open_door(post_office, NEAR, 5570)
        post_office.launcher = net.near
        post_office.start()
        post_office.sessions("ann", "bob")
        key = make_key(post_office, "far", sessions=("bob",))
        environ = {**far_environ(post_office, address, key), "MAESTRO_SESSION_ID": "bob"}

        def maestro(*arguments: str) -> str:
            return subprocess.run(
                [*net.far, sys.executable, "-m", "maestro_cli", *arguments],
                env=environ,
                capture_output=True,
                text=True,
                check=True,
                timeout=_END_S,
            ).stdout

        assert "Sent" in maestro("send", "--to", "ann", "-m", "one")
        net.cut()
        assert "Queued" in maestro("send", "--to", "ann", "-m", "two")
        net.heal()
        assert "Sent" in maestro("send", "--to", "ann", "-m", "three")
        mail = post_office.client().inbox(session="ann", since=0)["messages"]
        assert [message["message"] for message in mail] == ["one", "two", "three"]
        assert post_office.client(*Caller("bob")).inbox()["count"] == 0
