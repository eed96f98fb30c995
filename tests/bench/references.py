"""References: what the machine itself can do, measured in the same run.

Rule: a time means nothing on a shared machine; a ratio to one of these does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time

import zmq

RECORD_BYTES = 700
# ext4 without a journal passes over inodes that were freed within the last six minutes. Otherwise a file takes 8 us.
_RESTED_US = 25.0
_RESTED_S = 420.0
_LOOK_S = 10.0


def percentile(ordered: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of a sorted list does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def fdatasync_ms(directory: str, count: int = 1_000) -> list[float]:
    """Sorted durations of a write of one record and its fdatasync, in a preallocated file."""
    path = os.path.join(directory, "fdatasync.probe")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(fd, bytes(count * RECORD_BYTES))
        os.fsync(fd)
        times = []
        for number in range(count):
            began = time.perf_counter()
            os.pwrite(fd, b"x" * RECORD_BYTES, number * RECORD_BYTES)
            os.fdatasync(fd)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(fd)
        os.unlink(path)
    return sorted(times)


def fdatasync_growing_ms(directory: str, count: int = 1_000) -> list[float]:
    """The same at the end of a file that grows by it, as a log that is not preallocated does."""
    path = os.path.join(directory, "growing.probe")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        times = []
        for _ in range(count):
            began = time.perf_counter()
            os.write(fd, b"x" * RECORD_BYTES)
            os.fdatasync(fd)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(fd)
        os.unlink(path)
    return sorted(times)


def echo_rate(directory: str, depth: int, count: int = 20_000) -> float:
    """Round trips a second between two processes, `depth` at a time: nothing is looked at and nothing kept."""
    address = f"ipc://{os.path.join(directory, 'rate.sock')}"
    code = (
        "import sys, zmq\n"
        "router = zmq.Context().socket(zmq.ROUTER)\n"
        "router.bind(sys.argv[1])\n"
        "print(flush=True)\n"
        "while (message := router.recv_multipart())[1]:\n"
        "    router.send_multipart(message)"
    )
    server = subprocess.Popen([sys.executable, "-c", code, address], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(address)
    message = (b"M1", b"id", b"send", b"x" * RECORD_BYTES)
    count = count // 10 if depth == 1 else count
    began = time.perf_counter()
    for _ in range(depth):
        dealer.send_multipart(message)
    for number in range(count):
        dealer.recv_multipart()
        if number < count - depth:
            dealer.send_multipart(message)
    took_s = time.perf_counter() - began
    dealer.send(b"")
    server.wait(10)
    dealer.close(0)
    context.term()
    return count / took_s


def echo_ms(directory: str, count: int = 3_000) -> list[float]:
    """Sorted round trips of a DEALER and a ROUTER over ipc that does nothing but answer."""
    address = f"ipc://{os.path.join(directory, 'echo.sock')}"
    context = zmq.Context()

    def answer() -> None:
        router = context.socket(zmq.ROUTER)
        router.bind(address)
        for _ in range(count):
            router.send_multipart(router.recv_multipart())
        router.close(1000)

    thread = threading.Thread(target=answer)
    thread.start()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(address)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        dealer.send_multipart((b"M1", b"id", b"send", b"x" * RECORD_BYTES))
        dealer.recv_multipart()
        times.append((time.perf_counter() - began) * 1000)
    thread.join()
    dealer.close(0)
    context.term()
    return sorted(times)


def create_rate(directory: str, count: int = 2_000) -> float:
    """Files a second, each created, written, renamed and linked."""
    os.makedirs(os.path.join(directory, "made"))
    began = time.perf_counter()
    for number in range(count):
        aside = os.path.join(directory, "made", f".{number}")
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"x" * RECORD_BYTES)
        os.close(fd)
        os.rename(aside, aside.replace("/.", "/"))
        os.symlink("../elsewhere", os.path.join(directory, "made", f"{number}.link"))
    return count / (time.perf_counter() - began)


def create_cpu_us(directory: str, count: int = 20) -> float:
    """CPU of a new file's creation, us, the median. The files stay: what is removed makes the next ones slow."""
    folder = tempfile.mkdtemp(dir=directory)
    times = []
    for number in range(count):
        began = time.thread_time()
        os.close(os.open(os.path.join(folder, str(number)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        times.append((time.thread_time() - began) * 1e6)
    return percentile(sorted(times), 0.5)


def until_rested(directory: str, timeout_s: float = _RESTED_S) -> tuple[float, float]:
    """Wait until the file system makes files as quickly as it can; the seconds, and the CPU of one in us."""
    began_s = time.monotonic()
    while (cost_us := create_cpu_us(directory)) > _RESTED_US and time.monotonic() - began_s < timeout_s:
        time.sleep(_LOOK_S)
    return time.monotonic() - began_s, cost_us
