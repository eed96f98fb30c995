"""Network: two machines with a bad network link between them, simulated by two network namespaces.

Rule: the link loses IP packets, so real TCP is tested. If the kernel has netem, a veth pair has its delay and loss.
Otherwise a thread carries the packets between two TUN devices, and delays or drops each by a seeded choice. A cut
drops all packets. It needs root, iproute2, and a kernel with network namespaces.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from support import components

if TYPE_CHECKING:
    from types import TracebackType

NEAR, FAR = "10.213.77.1", "10.213.77.2"
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_PACKET_BYTES_MAX = 65_536


def require() -> None:
    """Skip the test where there can be no such network; with CI=true a missing tool or right is a failure."""
    components.require_tools("ip", "tc")
    components.require_root("making a network namespace")
    name = f"mm-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"NOT tested here: this kernel has no network namespaces ({made.stderr.strip()})")
    subprocess.run(["ip", "netns", "del", name], check=True)


class Network:
    """The link and both machines; a context manager. `near`, `far`: command prefixes that run a command there.

    `kind`: `netem` or `tun`. `delay_ms`: the delay in one direction. `loss`: the share of packets lost in each
    direction. `seed`: for the losses of `tun`.
    """

    def __init__(self, *, delay_ms: int, loss: float, seed: int) -> None:
        self._names = [f"mm-{os.getpid()}-{end}" for end in "ab"]
        self.near, self.far = (["ip", "netns", "exec", name] for name in self._names)
        self._delay_ms, self._loss = delay_ms, loss
        self._random = random.Random(seed)
        self._fds: list[int] = []
        self._thread: threading.Thread | None = None
        self._is_cut = threading.Event()
        self._stop, self._stop_writer = os.pipe()
        self.kind = "netem"
        self.lost = 0

    def __enter__(self) -> Self:
        try:
            for name in self._names:
                _ip("netns", "add", name)
            if not self._link_by_netem():
                self.kind = "tun"
                self._link_by_tun()
            for name, own, other in zip(self._names, (NEAR, FAR), (FAR, NEAR), strict=True):
                _ip("-n", name, "link", "set", "lo", "up")
                _ip("-n", name, "addr", "add", own, "peer", other, "dev", "line")
                _ip("-n", name, "link", "set", "line", "up")
        except BaseException:
            self._close()
            raise
        if self.kind == "tun":
            self._thread = threading.Thread(target=self._carry, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def cut(self) -> None:
        """Drop all packets; neither end is notified."""
        self._is_cut.set()
        if self.kind == "netem":
            self._shape("change", 100.0)

    def heal(self) -> None:
        """Restore the link."""
        self._is_cut.clear()
        if self.kind == "netem":
            self._shape("change", self._loss * 100)

    def _close(self) -> None:
        os.write(self._stop_writer, b".")
        if self._thread is not None:
            self._thread.join()
        for fd in (*self._fds, self._stop, self._stop_writer):
            os.close(fd)
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def _link_by_netem(self) -> bool:
        near, far = self._names
        made = subprocess.run(
            ["ip", "-n", near, "link", "add", "line", "type", "veth", "peer", "name", "line", "netns", far],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            return False
        if self._shape("add", self._loss * 100):
            return True
        _ip("-n", near, "link", "del", "line")
        return False

    def _shape(self, how: str, loss_percent: float) -> bool:
        netem = ["netem", "delay", f"{self._delay_ms}ms", "loss", f"{loss_percent:g}%"]
        return all(
            subprocess.run(
                ["tc", "-n", name, "qdisc", how, "dev", "line", "root", *netem], capture_output=True, check=False
            ).returncode
            == 0
            for name in self._names
        )

    def _link_by_tun(self) -> None:
        for number, name in enumerate(self._names):
            device = f"mm{os.getpid() % 1_000_000}{'ab'[number]}"
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            self._fds.append(fd)
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN_NO_PI))
            _ip("link", "set", device, "netns", name)
            _ip("-n", name, "link", "set", device, "name", "line")

    def _carry(self) -> None:
        in_flight: list[tuple[float, int, int, bytes]] = []
        count = 0
        while True:
            wait_s = max(0.0, in_flight[0][0] - time.monotonic()) if in_flight else None
            ready = select.select([*self._fds, self._stop], [], [], wait_s)[0]
            if self._stop in ready:
                return
            for fd in ready:
                packet = os.read(fd, _PACKET_BYTES_MAX)
                if self._is_cut.is_set() or self._random.random() < self._loss:
                    self.lost += 1
                    continue
                count += 1
                other = self._fds[1 - self._fds.index(fd)]
                heapq.heappush(in_flight, (time.monotonic() + self._delay_ms / 1000, count, other, packet))
            while in_flight and in_flight[0][0] <= time.monotonic():
                _, _, fd, packet = heapq.heappop(in_flight)
                os.write(fd, packet)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
