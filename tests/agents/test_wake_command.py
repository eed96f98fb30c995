"""`maestro wake --test` and `inbox --wait` beside a real Claude Code that is idle on its screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.screens import on_screen
from agents.wakes import at_a_wake_desk
from maestro_cli import exit_codes
from maestro_cli.waking import wake_trial
from maestro_schemas.texts import waking
from support.cli_shell import Lines

if TYPE_CHECKING:
    from support.cli_shell import Shell


def test_the_command_reports_the_hook_of_the_real_client(person: Shell) -> None:
    """A wait beside it takes nothing away, and holds nothing back."""
    with at_a_wake_desk("claude-code", person) as desk, on_screen(desk.agent, "Go on."):
        desk.turn()
        wait = desk.session.start("inbox", "--wait")
        Lines(wait, "stderr").wait_for(lambda line: "waiting for mail" in line)
        name = desk.known()["name"]
        found = person.done("wake", name, "--test", "--json").json()
        assert (found["via"], found["wokenBy"]) == ("hook:claude-code:UserPromptSubmit", waking.CLAUDE_CODE)
        print(f"a hook showed the message {found['seconds']:.2f} s after it was sent")
        assert wait.wait(20) == exit_codes.DONE
        assert Lines(wait).wait_for(bool) == "1 new message from operator. To read: maestro inbox"
        desk.turn(2)
        assert desk.shown(wake_trial.TEXT) == [0, 1]
        assert "ready" in person.done("wake", name).out
        desk.end_with(3)
