"""Process of the index: `python -m maestro_broker.index DATA FD`.

Rule: it ends when the broker's end of the socket FD closes, which the kernel does for a killed broker too, and after
QUIET_S without an order. It lets the broker's own work go first at the processor.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import select
import signal
import socket
import sys
import time

import msgspec

from maestro_broker.files import index_files
from maestro_runtime import logs, places

from .keeper import IndexKeeper
from .orders import Frames, IndexAnswer, IndexOrder, frame

_log = logging.getLogger(__name__)

QUIET_S = 600.0
# Not SCHED_IDLE: on a busy machine an order would wait for seconds.
_NICENESS = 5
# How often it looks for new records between orders, and how often it reports its state.
_FOLLOW_S = 0.5
_REPORT_S = 1.0
_READ_BYTES = 1 << 16
# An index process of a killed broker may be at its last slice.
_LOCK_S = 10.0
_LOCKED = 75

_decode = msgspec.msgpack.Decoder(tuple[int, IndexOrder]).decode


def main() -> int:
    """Serve until the broker's end closes."""
    data, fd = sys.argv[1], int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    os.nice(_NICENESS)
    # What a process of a few tables allocates is not worth a collection in the middle of an answer.
    gc.freeze()
    with contextlib.suppress(OSError):  # without a log, it answers all the same
        logs.start(data, "index", "maestro_broker", foreground=False)
    folder = os.path.join(data, index_files.FOLDER)
    places.make_directory(folder)
    lock = _locked(folder)
    if lock is None:
        _log.warning("another process has the index")
        return _LOCKED
    keeper = IndexKeeper(data, may_use_full_text=os.environ.get("MAESTRO_INDEX_FULL_TEXT") != "off")
    with socket.socket(fileno=fd) as broker:
        try:
            return _serve(broker, keeper)
        except (BrokenPipeError, ConnectionResetError):
            return 0
        finally:
            keeper.close()


def _serve(broker: socket.socket, keeper: IndexKeeper) -> int:
    poller = select.poll()
    poller.register(broker, select.POLLIN)
    frames = Frames()
    ordered_s = time.monotonic()
    reported_s, last_report = 0.0, None
    is_busy = False
    while True:
        if poller.poll(0 if is_busy else _FOLLOW_S * 1_000):
            received = broker.recv(_READ_BYTES)
            if not received:
                return 0
            for body in frames.feed(received):
                number, order = _decode(body)
                broker.sendall(frame(keeper.answer(number, order)))
                ordered_s = time.monotonic()
            is_busy = True
            continue
        is_busy = keeper.work()
        now_s = time.monotonic()
        if now_s - reported_s >= _REPORT_S:
            reported_s = now_s
            report = keeper.report()
            if report != last_report:
                broker.sendall(frame(IndexAnswer(0, report)))
                last_report = report
        if now_s - ordered_s >= QUIET_S:
            return 0


def _locked(folder: str) -> int | None:
    """The lock of the folder, which the kernel releases with this process; None while another holds it."""
    lock = places.open_file(os.path.join(folder, index_files.LOCK), os.O_RDWR | os.O_CREAT)
    until_s = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return None
            select.select([], [], [], 0.01)
        else:
            return lock


if __name__ == "__main__":
    sys.exit(main())
