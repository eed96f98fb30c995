"""Doctor's checks of the machine: what this user has of the kernel's inotify, and who has most."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from maestro_cli.context import CommandContext
from maestro_cli.doctor import host_checks

CONTEXT = CommandContext({}, "/nowhere", None, None)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")


def test_instances_and_watches_of_this_process_are_counted() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    before = host_checks._inotify_use(f"/proc/{os.getpid()}")
    fd = libc.inotify_init1(os.O_CLOEXEC)
    try:
        assert libc.inotify_add_watch(fd, b"/tmp", 0x100) >= 0
        [use] = host_checks._inotify_use(f"/proc/{os.getpid()}")
        base = before[0] if before else (0, 0)
        assert (use.instances - base[0], use.watches - base[1]) == (1, 1)
        assert f"(pid {os.getpid()})" in use.who
        assert use in host_checks._inotify_uses()
    finally:
        os.close(fd)
    [finding] = host_checks.inotify(CONTEXT)
    assert finding.state == "ok"


@pytest.mark.parametrize("full", ["instances", "watches"])
def test_a_limit_that_is_reached_names_who_has_most(monkeypatch: pytest.MonkeyPatch, full: str) -> None:
    uses = [host_checks._InotifyUse(2, 10, "editor (pid 1)"), host_checks._InotifyUse(7, 90, "watcher (pid 2)")]
    monkeypatch.setattr(host_checks, "_inotify_uses", lambda: uses)
    most = {"instances": 1_000, "watches": 1_000, full: 10 if full == "instances" else 110}
    monkeypatch.setattr(host_checks, "_number", lambda path: most[path.rpartition("_")[2]])
    [finding] = host_checks.inotify(CONTEXT)
    assert (finding.state, f"max_user_{full}={most[full] * 2}" in finding.repair) == ("warning", True)
    assert finding.repair.index("watcher (pid 2)") < finding.repair.index("editor (pid 1)")


def test_a_system_without_inotify_has_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_checks, "_INOTIFY", "/nowhere")
    assert list(host_checks.inotify(CONTEXT)) == []
