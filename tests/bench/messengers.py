"""Beside agent messengers: what a send, a read and a push take, with hcom and agent-mail-cli, and what "sent" means.

Rule: whole processes, as agents start them, one of each in turn; every message is counted at its receiver; one that
never comes is counted as well. What is said of the disk was counted by strace, what is said of SIGKILL was done.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import wheel_install
from bench.disk_calls import NotMeasuredError, Syncs, syncs
from bench.findings import Plot, Table
from bench.latency import curve
from bench.mailboxes import BINARY, DEVELOPMENT, PYTHON, Command, editable, mailboxes, missing
from bench.references import percentile

if TYPE_CHECKING:
    from bench.findings import Cell
    from bench.mailboxes import Mailbox
    from bench.run import Bench

PART = "messengers"
_LOST_AFTER_S = 10.0
_TRACED = 5
# The slowest watch looks once a second: the sends are spread over that second, the same for all.
_SECOND_S, _GOLDEN = 1.0, 0.618
# From "I am waiting" to waiting.
_SETTLE_S = 0.2


@dataclass
class Times:
    """In ms. `from_start`, `from_end`: of the sender's process."""

    from_start: list[float] = field(default_factory=list)
    from_end: list[float] = field(default_factory=list)


def messengers(bench: Bench, sends: int = 1_000, reads: int = 200, pushes: int = 200, kills: int = 20) -> None:
    """Send, read, push, and what each guarantees."""
    boxes = mailboxes(bench)
    for package in missing():
        bench.row(f"{package} is not measured", "", f"not installed: {package} (pip install -e '.[peers]')")
    both = [*boxes[:1], editable(bench), *boxes[1:]]
    sent = _sends(bench, both, sends)
    arrived = {box.name: _said(_drain(box, "sent"), sends) for box in both}
    _show_processes(bench, both, "send", sent, arrived)
    took, seen = _reads(bench, both, reads)
    _show_processes(bench, both, "read", took, {name: f"{count} of {reads}" for name, count in seen.items()})
    pushed, reached = _pushes(boxes, pushes)
    _show_pushes(bench, boxes, pushed, {name: f"{count} of {pushes}" for name, count in reached.items()})
    _show_guarantees(bench, boxes, kills)
    ours = (arrived["Maestro"], seen["Maestro"], reached["Maestro"])
    bench.figures["messengers_whole"] = float(ours == (_said(list(range(sends)), sends), reads, pushes))


# --- send and read -------------------------------------------------------------------------------------------------


def _floors(bench: Bench) -> dict[str, Command]:
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    environ = {name: value for name, value in bench.environ.items() if name not in left_out}
    return {
        PYTHON: Command(
            [os.path.join(wheel_install.folder_of_commands(bench.scratch), "python"), "-c", "pass"], environ
        ),
        DEVELOPMENT: Command([sys.executable, "-c", "pass"], environ),
        BINARY: Command([shutil.which("true") or "true"], environ),
    }


def _sends(bench: Bench, boxes: list[Mailbox], count: int) -> dict[str, list[float]]:
    """ms by name, sorted; the floors' too."""
    times: dict[str, list[float]] = {}
    _warm(boxes)
    for number in range(count):
        commands = _floors(bench) | {box.name: box.send("sent", _text(number)) for box in boxes}
        for name, command in commands.items():
            times.setdefault(name, []).append(_timed(command)[0])
    return {name: sorted(taken) for name, taken in times.items()}


def _reads(bench: Bench, boxes: list[Mailbox], count: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """ms by name, sorted, with one message waiting; how many were shown."""
    times: dict[str, list[float]] = {}
    seen = dict.fromkeys((box.name for box in boxes), 0)
    for number in range(count):
        for name, command in _floors(bench).items():
            times.setdefault(name, []).append(_timed(command)[0])
        for box in boxes:
            box.send("read", _text(number)).run()
            took_ms, shown = _timed(box.read("read"))
            times.setdefault(box.name, []).append(took_ms)
            seen[box.name] += _numbers(shown) == [number]
    return {name: sorted(taken) for name, taken in times.items()}, seen


def _warm(boxes: list[Mailbox]) -> None:
    """The first of each writes the interpreter's bytecode and makes its files."""
    for box in boxes:
        box.send("read", _text(0)).run()
        box.read("read").run()


def _timed(command: Command) -> tuple[float, str]:
    began = time.monotonic()
    shown = command.run()
    return (time.monotonic() - began) * 1000, shown


def _text(number: int) -> str:
    return f"message-{number}-of-the-bench"


def _numbers(shown: str) -> list[int]:
    """Of the messages in an output, in its order."""
    return [int(number) for number in re.findall(r"message-(\d+)-of-the-bench", shown)]


def _drain(box: Mailbox, receiver: str) -> list[int]:
    """All that the receiver is shown, in its order."""
    found: list[int] = []
    while more := _numbers(box.read(receiver).run()):
        found += more
    return found


def _said(found: list[int], count: int) -> str:
    if found == list(range(count)):
        return f"{count} of {count}, once, in order"
    once = len(set(found))
    order = "in order" if found == sorted(found) else "not in order"
    return f"{once} of {count}, {len(found) - once} repeated, {order}"


# --- push ----------------------------------------------------------------------------------------------------------


def _pushes(boxes: list[Mailbox], count: int) -> tuple[dict[str, Times], dict[str, int]]:
    """While each of them waits, one send each in turn."""
    times = {box.name: Times() for box in boxes}
    seen = dict.fromkeys(times, 0)
    watches: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for number in range(count):
            for box in boxes:
                if box.name not in watches:
                    watches[box.name] = box.watch("pushed").start()
                    box.wait_until_watching("pushed", watches[box.name])
            time.sleep(_SETTLE_S + number * _GOLDEN % _SECOND_S)
            for box in boxes:
                took = _push(box, _text(number), watches[box.name])
                if took is not None:
                    seen[box.name] += 1
                    times[box.name].from_start.append(took[0])
                    times[box.name].from_end.append(took[1])
                if not box.watches_on:
                    _end(watches.pop(box.name))
                    box.read("pushed").run()  # so that the next watch has nothing to show at once
    finally:
        for watch in watches.values():
            _end(watch)
    return times, seen


def _push(box: Mailbox, text: str, watch: subprocess.Popen[bytes]) -> tuple[float, float] | None:
    """ms from the sender's start and from its end until the watch has printed it; None if it never did."""
    assert watch.stdout is not None
    output = watch.stdout.fileno()
    command = box.send("pushed", text)
    shown = b""
    printed = ended = None
    began = time.monotonic()
    sender = subprocess.Popen(command.words, env=command.environ, stdout=subprocess.DEVNULL)
    end = os.pidfd_open(sender.pid)
    try:
        waiting = [output, end]
        while waiting:
            ready = select.select(waiting, [], [], _LOST_AFTER_S)[0]
            now = time.monotonic()
            if not ready:
                break
            if end in ready:
                ended = now
                waiting.remove(end)
            if output in ready:
                more = os.read(output, 65_536)
                shown += more
                if text.encode() in shown or not more:
                    printed = now if more else None
                    waiting.remove(output)
    finally:
        os.close(end)
        sender.wait(_LOST_AFTER_S)
    if printed is None or ended is None:
        return None
    return (printed - began) * 1000, (printed - ended) * 1000


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_LOST_AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


# --- what "sent" means ---------------------------------------------------------------------------------------------


def _synced(box: Mailbox, directory: str) -> list[Syncs] | str:
    """Of several sends; or why it is not known."""
    found = []
    for number in range(_TRACED):
        time.sleep(_SETTLE_S)  # what the one before had left to do is done
        try:
            found.append(syncs(box.send("traced", _text(number)), box.server(), directory))
        except NotMeasuredError as why:
            return f"not measured: {why}"
    return found


def _kept(box: Mailbox, kills: int) -> int:
    """How many messages are there whose sender, and whose server, got SIGKILL as soon as it had said "sent"."""
    kept = 0
    for number in range(kills):
        sender = box.send("killed", _text(number)).start()
        assert sender.stdout is not None
        os.read(sender.stdout.fileno(), 65_536)
        sender.send_signal(signal.SIGKILL)
        sender.communicate()
        box.kill_server()
        kept += number in _drain(box, "killed")
    return kept


# --- as it is shown ------------------------------------------------------------------------------------------------


def _figure(what: str, name: str) -> str:
    return f"messengers_{what}_{re.sub(r'[^a-z0-9]+', '_', name.lower())}_p50_ms"


def _not_measured(package: str, cells: int) -> list[Cell]:
    return [package, "not measured: pip install -e '.[peers]'", *[None] * (cells - 2)]


def _show_processes(
    bench: Bench, boxes: list[Mailbox], what: str, times: dict[str, list[float]], counted: dict[str, str]
) -> None:
    columns = ["", "at the receiver" if what == "send" else "shown", "p50, ms", "p99, ms", "from, to, ms"]
    columns += ["above its floor, ms", "Maestro / it"]
    floors = {box.name: box.floor for box in boxes}
    medians = {name: percentile(taken, 0.5) for name, taken in times.items()}
    rows: list[list[Cell]] = []
    for name, taken in times.items():
        above = medians[name] - medians[floors[name]] if name in floors else None
        spread = f"{taken[0]:.1f} to {taken[-1]:.1f}"
        ratio = medians["Maestro"] / medians[name]
        rows.append([name, counted.get(name), medians[name], percentile(taken, 0.99), spread, above, ratio])
        bench.row(
            f"whole process: {what}, {name}",
            f"{medians[name]:.1f} / {percentile(taken, 0.99):.1f} ms",
            f"{spread} ms; Maestro / it {ratio:.2f}" + (f"; {counted[name]}" if name in counted else ""),
        )
        bench.figures[_figure(what, name)] = medians[name]
    rows += [_not_measured(package, len(columns)) for package in missing()]
    text = (
        f"{len(times['Maestro']):,} of each, one of each in turn. Maestro is installed from its wheel into an "
        f"environment of its own, as hcom is from its; `{PYTHON}` is the floor there. The editable install and "
        "agent-mail-cli are in the development environment, whose .pth files each start reads: "
        f"`{DEVELOPMENT}`. The floor of hcom, a binary, is `{BINARY}`."
    )
    bench.findings.add(Table(PART, f"A whole process: {what}", columns, rows, text))


def _show_pushes(bench: Bench, boxes: list[Mailbox], times: dict[str, Times], seen: dict[str, str]) -> None:
    columns = ["", "seen", "from the sender's start, p50, ms", "p99, ms", "from, to, ms"]
    columns += ["from its end, p50, ms", "p99, ms", "Maestro / it"]
    rows: list[list[Cell]] = []
    ours = sorted(times["Maestro"].from_start)
    for box in boxes:
        start, end = sorted(times[box.name].from_start), sorted(times[box.name].from_end)
        if not start:
            rows.append([box.name, seen[box.name], *[None] * (len(columns) - 2)])
            bench.row(f"push: {box.name}", "", f"{seen[box.name]} seen")
            continue
        p50, p99 = percentile(start, 0.5), percentile(start, 0.99)
        ratio = percentile(ours, 0.5) / p50 if ours else None
        spread = f"{start[0]:.1f} to {start[-1]:.1f}"
        ends: list[Cell] = [percentile(end, 0.5), percentile(end, 0.99)]
        rows.append([box.name, seen[box.name], p50, p99, spread, *ends, ratio])
        bench.row(
            f"push from the sender's start, {box.name}",
            f"{p50:.1f} / {p99:.1f} ms",
            f"{spread} ms; from its end {ends[0]:.1f} / {ends[1]:.1f}; {seen[box.name]} seen",
        )
        bench.figures[_figure("push", box.name)] = p50
    rows += [_not_measured(package, len(columns)) for package in missing()]
    text = (
        "Until the watching process has printed it. Below zero: before the sender's process had ended. Ours is "
        "`maestro inbox --watch`, one process for all. `hcom listen` and `agent-mail watch` end with a message; each "
        "was waiting again before the next, and what passes until an agent starts it again is not in the figures. "
        "`agent-mail watch` shows the subject; the text takes a read more."
    )
    bench.findings.add(Table(PART, "Push to a process that waits", columns, rows, text))
    lines = {name: curve(sorted(taken.from_start)) for name, taken in times.items()}
    title = "Push, from the sender's start to the watcher's output"
    axis = "1 / (1 - p): 10 is p90, 100 is p99"
    bench.findings.add(Plot(PART, "messengers_push", title, axis, "ms", lines, log_x=True, log_y=True))


def _show_guarantees(bench: Bench, boxes: list[Mailbox], kills: int) -> None:
    columns = ["", "kept in", "fsync and fdatasync before “sent”", "then, until the sender ends"]
    columns += ["there after SIGKILL at “sent”"]
    rows: list[list[Cell]] = []
    for box in boxes:
        found = _synced(box, bench.scratch)
        before, after = (found, None) if isinstance(found, str) else (_calls(found, 0), _calls(found, 1))
        kept = f"{_kept(box, kills)} of {kills}"
        rows.append([box.name, box.kept_in(), before, after, kept])
        note = f"{before} before “sent”, {after} after" if after is not None else before
        bench.row(f"on the disk: {box.name}", f"{kept} after SIGKILL", f"syncs: {note}; {box.kept_in()}")
    rows += [_not_measured(package, len(columns)) for package in missing()]
    text = (
        f"“Sent” is the first write to standard output. Counted by strace in {_TRACED} sends, with nothing else "
        "running: of the sender, and for Maestro of the broker. A caller that waits for the sender's end, and not "
        "only for its output, has what is in both columns. The sender gets SIGKILL as soon as its output is read, "
        "and so does the broker. This shows nothing about a power cut; the syncs do."
    )
    bench.findings.add(Table(PART, "What “sent” means", columns, rows, text))


def _calls(found: list[Syncs], which: int) -> str:
    counts = [one[which] for one in found]
    least, most = min(counts), max(counts)
    said = str(least) if least == most else f"{least} to {most}"
    return said if which else f"{'yes' if least else 'no'}: {said}"
