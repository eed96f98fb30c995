"""The first minute: from the wheel to mail between two real Claude Codes, and back to the home as it was."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

from agents import anthropic_api
from agents.colleagues import ANSWER, QUESTION, Colleagues
from agents.newcomer import PROJECTS, Newcomer, first_minute
from agents.stand_in import standing_in
from support import components, wheels
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

# A person reads this number in the README: a change that makes it greater is no small thing.
LINES_MAX = 6
# On an idle machine it is about 40 s, half of that for pip.
SECONDS_MAX = 400.0
# What Claude Code writes for itself.
_CLAUDE_CODE = (
    ".claude.json",
    ".cache",
    # That git leaves its settings of a project out of every commit, and the links that it opens.
    ".config/git",
    ".config/mimeapps.list",
    ".local/share/applications/claude-code",
    *(f"{name}/.claude" for name in PROJECTS),
)
_CLAUDE_CODE_SETTINGS = ".claude/settings.json"


@pytest.fixture
def root() -> Iterator[str]:
    # Not pytest's tmp_path: its length leaves no room for a socket's path.
    made = tempfile.mkdtemp(prefix="mst-", dir="/tmp")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.mechanism
@pytest.mark.timeout(600)
def test_from_the_wheel_to_mail_between_two_agents_and_back(root: str) -> None:
    components.require_tools("tmux", "bash")
    wheel = wheels.built_wheel()
    model = Colleagues()
    with standing_in(anthropic_api, model) as stand_in, Newcomer(root, stand_in.url) as person:
        shutil.copy(wheel, root)
        before = person.tree()
        first_minute(person, os.path.basename(wheel))
        print(f"the first minute: {len(person.typed)} lines, {person.answered} dialogs, {person.seconds:.0f} s")
        assert stand_in.failures == []
        assert (len(model.asked), len(model.answered), len(model.reported)) == (1, 1, 1)
        assert len(person.typed) <= LINES_MAX
        assert person.seconds < SECONDS_MAX
        question, answer = person.look("log", "--limit", "2")
        assert (question["message"], answer["message"]) == (QUESTION, ANSWER)
        assert answer["metadata"]["inReplyTo"] == question["id"]
        assert question["deliveredVia"].startswith("hook:claude-code:")

        for name in ("first", "second"):
            person.say(name, "/exit")
        eventually(lambda: not [one for one in person.look("who") if one["state"] != "gone"], "both have left", 60.0)
        person.run("shell", "maestro uninstall --yes --data")
        after = person.tree()
    changed = {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path) and not _is_its_own(path)
    }
    assert changed == set()
    assert after[_CLAUDE_CODE_SETTINGS] == before[_CLAUDE_CODE_SETTINGS]


def _is_its_own(path: str) -> bool:
    """Whether Claude Code alone writes there."""
    if path.startswith(".claude/") and not path.startswith(_CLAUDE_CODE_SETTINGS):
        return True
    return path.startswith(_CLAUDE_CODE)
