"""`maestro doctor` about waking Codex. A program of the test stands where the client's own would be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_runtime import hook_state, wake_facts
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX
from support.post_office import eventually

if TYPE_CHECKING:
    from support.cli_shell import Shell

HELP = "Usage: codex queue [OPTIONS] --thread <THREAD> --message <TEXT>"


def findings(shell: Shell) -> dict[str, dict[str, Any]]:
    """Those about Codex and about failed wakes, by name; the last of a name."""
    found = shell.run("doctor", "--json").json()["findings"]
    shown = [one for one in found if one["name"] == "codex's queue" or one["state"] != "ok"]
    return {one["name"]: one for one in shown if one["name"] in ("codex's queue", "wakes")}


def program(shell: Shell, script: str) -> str:
    folder = os.path.join(shell.root, "bin")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "codex")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\n{script}\n")
    os.chmod(path, 0o700)
    return path


def on_screen(shell: Shell, script: str) -> Shell:
    """A session whose Codex is this process, idle after its first turn."""
    bob = shell.session()
    pid, start = os.getpid(), pid_start(os.getpid())
    thread = "01a22be6-fce2-78d2-8e80-9473d6f1ee81"
    facts = WakeFacts(CODEX, pid, start, thread=thread, program=program(shell, script), home=shell.root)
    wake_facts.write(shell.data, bob.session_id, facts)
    with bob.client() as client:
        client.touch_session(agent="codex", pid=pid, pidStart=start, wakeBy=CODEX)
    sign = HookState("idle", "Stop", "codex", pid, start)
    hook_state.write(hook_state.path(shell.data, bob.session_id), sign)
    return bob


def test_a_codex_on_a_screen_can_be_woken(person: Shell) -> None:
    on_screen(person, f"[ -z \"$MAESTRO_DATA_DIR\" ] && echo '{HELP}'")
    found = findings(person)
    assert found["codex's queue"]["state"] == "ok"
    assert "wakes" not in found


@pytest.mark.parametrize("script", ["echo 'Usage: codex exec'", "exit 2", f"echo '{HELP}'; exit 1"])
def test_a_codex_without_the_queue_must_be_updated(person: Shell, script: str) -> None:
    on_screen(person, script)
    found = findings(person)["codex's queue"]
    assert (found["state"], found["repair"]) == ("warning", "Update Codex, and start it again.")


def test_what_went_wrong_at_the_last_wake_is_said(person: Shell) -> None:
    bob = on_screen(
        person, f"echo '{HELP}'; [ \"$2\" = --help ] || {{ echo 'Error: no rollout found' >&2; exit 1; }}"
    )
    person.session("ann").send(bob, "hello")

    def reason() -> str:
        with person.client() as client:
            return str(client.session(bob.session_id)["presence"].get("wake", {}).get("reason", ""))

    eventually(lambda: "no rollout" in reason(), "the failure")
    every = person.run("doctor", "--json").json()["findings"]
    found = [one for one in every if one["name"] == "wakes" and one["state"] == "warning"]
    assert any("no rollout found" in one["what"] for one in found), every
    assert any("wake.log" in one["what"] for one in found)


def test_a_codex_on_the_path_alone_is_no_finding_if_it_has_the_queue(person: Shell) -> None:
    path = f"{os.path.dirname(program(person, f'echo {HELP!r}'))}{os.pathsep}{os.defpath}"
    assert findings(person.like(PATH=path)) == {}
    program(person, "exit 2")
    assert findings(person.like(PATH=path))["codex's queue"]["state"] == "warning"
