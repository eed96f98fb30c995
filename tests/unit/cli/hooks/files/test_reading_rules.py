"""Reading rules: added to a permission list and taken out of it, and every other character stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli.hooks import agents, installation
from maestro_cli.hooks.files import reading_rules
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path

RULES = reading_rules.RuleList(("permissions", "allow"), comments=False)
WANTED = reading_rules.wanted("/srv/ann/data")


def test_the_rules_allow_to_read_files_of_mail_alone() -> None:
    assert WANTED == [
        "Read(//srv/ann/data/messages/by-receiver/*/*.files/**)",
        "Read(//srv/ann/data/received-files/**)",
        "Read(//srv/ann/data/remote/*/received-files/**)",
    ]
    assert all(map(reading_rules.is_own, WANTED))


def test_a_link_in_the_path_has_rules_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "data").symlink_to("real")
    folders = [rule.split("/messages")[0] for rule in reading_rules.wanted(str(tmp_path / "data"))[::3]]
    assert folders == [f"Read(/{tmp_path}/data", f"Read(/{tmp_path}/real"]


@pytest.mark.parametrize("folder", ["/a*b", "/a(b)", "/[x]", "/a\\b", "/a!b", "/a\nb"])
def test_a_path_that_means_something_in_a_pattern_has_no_rule(folder: str) -> None:
    assert reading_rules.wanted(folder) == []


@pytest.mark.parametrize(
    "rule",
    [
        "Read",
        "Read(//srv/ann/data/**)",
        "Bash(ls)",
        "Read(~/x/received-files/**)",
        "Read(//d/received-files/**) x",
        7,
    ],
)
def test_a_rule_of_others_is_not_ours(rule: object) -> None:
    assert not reading_rules.is_own(rule)


TEXTS = [
    "",
    "{}",
    "{\n}\n",
    '{"model": "x"}',
    '{\n  "model": "x"\n}\n',
    '{"permissions": {}}',
    '{"permissions": {"deny": ["WebFetch"]}}',
    '{"permissions": {"allow": ["Bash"]}}',
    '{\n  "permissions": {\n    "allow": [\n      "Bash",\n      "Edit"\n    ],\n    "deny": []\n  },\n  "a": 1\n}\n',
    '{\r\n\t"permissions": {\r\n\t\t"allow": [\r\n\t\t\t"Bash"\r\n\t\t]\r\n\t}\r\n}\r\n',
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_added_can_be_taken_out(text: str) -> None:
    before: Any = json.loads(text or "{}")
    added = reading_rules.added(text, RULES, WANTED)
    allowed = before.get("permissions", {}).get("allow", [])
    found = json.loads(added)
    assert found["permissions"]["allow"] == [*allowed, *WANTED]
    assert reading_rules.own(added, RULES) == WANTED
    assert reading_rules.added(added, RULES, WANTED) == added
    removed = reading_rules.removed(added, RULES)
    left = json.loads(removed)
    if allowed or "model" in before:
        assert left == before
    assert reading_rules.own(removed, RULES) == []


def test_the_rules_of_another_data_directory_are_replaced() -> None:
    text = reading_rules.added('{"permissions": {"allow": ["Bash"]}}', RULES, reading_rules.wanted("/old"))
    found = json.loads(reading_rules.added(text, RULES, WANTED))
    assert found["permissions"]["allow"] == ["Bash", *WANTED]


def test_a_rule_between_others_is_taken_out() -> None:
    text = json.dumps({"permissions": {"allow": [WANTED[0], "Bash", WANTED[1], "Edit", WANTED[2]]}})
    assert json.loads(reading_rules.removed(text, RULES)) == {"permissions": {"allow": ["Bash", "Edit"]}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "not a JSON object"),
        ('{"permissions": []}', "its 'permissions' is not an object"),
        ('{"permissions": {"allow": "Bash"}}', "its 'permissions.allow' is not a list"),
        ("{", "it ends too early"),
    ],
)
def test_settings_of_another_form_are_refused(text: str, says: str) -> None:
    with pytest.raises(MaestroError, match=says) as caught:
        reading_rules.added(text, RULES, WANTED)
    assert caught.value.code == "INVALID"


def test_only_an_agent_that_asks_has_a_list() -> None:
    named = {name for name, agent in agents.AGENTS.items() if reading_rules.list_of(agent) is not None}
    assert named == {"claude-code"}


def test_an_uninstallation_finds_them(tmp_path: Path) -> None:
    find = reading_rules.finder(RULES)
    assert find("") is None
    assert find('{"permissions": {"allow": ["Bash"]}}') is None
    original = '{"permissions": {"allow": ["Bash"]}}'
    path = tmp_path / "settings.json"
    path.write_text(reading_rules.added(original, RULES, WANTED))
    assert installation.plan_undo(str(path), [find]).after == original
