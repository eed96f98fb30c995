"""`maestro export`: documents of real conversations, and where they are written."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from maestro_cli import exit_codes
from maestro_clients.protocol import blob_commands
from maestro_schemas.limits import BLOB_PART_BYTES_MAX
from maestro_schemas.messages import Message

if TYPE_CHECKING:
    from support.cli_shell import Ran, Shell

TEXT = "Look:\n```py\nx = '````'\n```\n<script>alert(1)</script> **bold**"


@pytest.fixture
def team(shell: Shell) -> dict[str, Shell]:
    """An orchestrator and two workers of one project, and a worker of another one."""
    workers = {name: shell.session(name) for name in ("ann", "ben")}
    return {
        **workers,
        "lead": shell.session("lead", role="orchestrator"),
        "eve": shell.session("eve", project="other"),
        "person": shell.anonymous(),
    }


@pytest.fixture
def asked(team: dict[str, Shell]) -> str:
    """A request with an answer, a message to several, and one of another project."""
    asked = team["lead"].send(team["ann"], TEXT, metadata={"type": "request", "data": {"n": 1}})
    team["ann"].send(team["lead"], "Done.", metadata={"inReplyTo": asked})
    team["lead"].send_to_all(["@workers"], "Stop.", confirm=True)
    team["eve"].send(team["lead"], "from elsewhere")
    return asked


def texts(ran: Ran | str) -> list[str]:
    """The texts of a `jsonl` export, whose last line is checked."""
    lines = [json.loads(line) for line in (ran if isinstance(ran, str) else ran.out).splitlines()]
    assert lines[0]["kind"] == "export"
    assert lines[-1]["kind"] == "end"
    found = [msgspec.convert(line["message"], Message).text for line in lines[1:-1]]
    assert lines[-1]["messages"] == len(found)
    return found


def test_what_each_choice_holds(team: dict[str, Shell], asked: str) -> None:
    def found(who: str, *words: str) -> list[str]:
        return texts(team[who].done("export", *words, "--json"))

    everything = [TEXT, "Done.", "Stop.", "from elsewhere"]
    assert found("person") == found("lead") == everything
    assert found("ben") == ["Stop."]
    assert found("person", "thread", asked) == found("ann", "thread", asked) == [TEXT, "Done."]
    assert found("person", "with", "lead", "ann") == found("ann", "with", "lead") == [TEXT, "Done.", "Stop."]
    assert found("person", "session", "eve") == ["Stop.", "from elsewhere"]
    assert found("person", "--query", "from:lead stop") == ["Stop."]
    assert found("person", "session", "ann", "--query", "done") == ["Done."]
    assert found("person", "--limit", "2") == ["Stop.", "from elsewhere"]
    assert found("person", "--until", "1h") == []
    assert found("person", "with", "lead") == []
    # To export is not to read.
    assert team["ann"].state(asked) == "pending"


def test_a_group(team: dict[str, Shell]) -> None:
    team["lead"].done("group", "create", "docs", team["ann"].session_id)
    team["lead"].send_to_all(["@docs"], "the guide")
    assert texts(team["lead"].done("export", "group", "docs", "--json")) == ["the guide"]
    assert team["lead"].run("export", "group", "none").code == exit_codes.NOT_FOUND


def test_markdown_says_what_was_asked_by_whom_and_holds_the_text(team: dict[str, Shell], asked: str) -> None:
    page = team["ann"].done("export", "with", "lead").out
    lines = page.splitlines()
    assert lines[0] == "# Messages between ann and lead"
    assert lines[2].startswith(f"Asked for by ann ({team['ann'].session_id.replace('_', chr(92) + '_')}) at ")
    assert lines[3] == "3 messages, the oldest first. Only what ann may see."
    assert any(line.startswith("## Thread ") for line in lines)
    assert f"`````text\n{TEXT}\n`````\n" in page
    assert '```json\n{"n": 1}\n```\n' in page
    assert f"`{asked}` · request" in page
    several = next(line for line in lines if "workers" in line)
    assert several.startswith("### lead → `@workers (4)` · ") or "`@workers" in several


def test_the_receipts_are_in_json_lines(team: dict[str, Shell], asked: str) -> None:
    lines = [json.loads(line) for line in team["lead"].done("export", "--format", "jsonl").out.splitlines()]
    by_id = {line["message"]["id"]: line for line in lines[1:-1]}
    assert by_id[asked]["receipt"]["recipients"][0]["state"] == "answered"
    several = next(line for line in by_id.values() if line["message"]["message"] == "Stop.")
    assert len(several["receipt"]["recipients"]) == 3
    assert lines[0]["askedBy"] == team["lead"].session_id
    assert lines[0]["people"][team["ann"].session_id]["name"] == "ann"


def test_the_page_is_one_file_without_a_script(team: dict[str, Shell], asked: str) -> None:
    out = Path(team["person"].root) / "page.html"
    ran = team["person"].done("export", "thread", asked, "--format", "html", "--out", str(out))
    assert ran.out == ""
    assert "2 messages" in ran.err
    page = out.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert "<strong>bold</strong>" in page
    assert "default-src &#39;none&#39;" in page
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_without_texts(team: dict[str, Shell], asked: str) -> None:
    for kind in ("md", "jsonl", "html"):
        page = team["person"].done("export", "thread", asked, "--no-text", "--format", kind).out
        assert "Done." not in page
        assert "alert" not in page
        assert '{"n": 1}' not in page


def test_a_file_that_exists_is_left_alone(team: dict[str, Shell], asked: str) -> None:
    person, out = team["person"], Path(team["person"].root) / "x.md"
    out.write_text("old", "utf-8")
    ran = person.run("export", "thread", asked, "--out", str(out))
    assert ran.code == exit_codes.REFUSED
    assert "--force" in ran.err
    assert out.read_text("utf-8") == "old"
    person.done("export", "thread", asked, "--out", str(out), "--force")
    assert out.read_text("utf-8").startswith("# The thread")
    # A directory gets a file that is named for what it holds.
    folder = Path(person.root) / "docs"
    person.done("export", "thread", asked, "--out", f"{folder}/")
    assert [path.name for path in folder.iterdir()] == [f"{asked}.md"]
    assert person.run("export", "thread", asked, "--out", str(folder)).code == exit_codes.REFUSED
    person.done("export", "--out", str(folder), "--format", "jsonl")
    assert len(texts((folder / "all.jsonl").read_text("utf-8"))) == 4
    assert not [name for name in os.listdir(folder) if name.endswith(".part")]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["thread"], 2, "takes one name"),
        (["sesion", "x"], 2, "Did you mean `export session`?"),
        (["msg_1"], 2, "maestro export thread msg_1"),
        (["--query", ""], 2, "the query is empty"),
        (["--query", "form:x"], 2, "Did you mean `from:`?"),
        (["thread", "x", "--query", "y"], 2, "exclude each other"),
        (["--since", "2999-01-01"], 2, "in the future"),
        (["--since", "1h", "--until", "2h"], 2, "is not before"),
        (["--limit", "0"], 2, "--limit must be 1 to 1,000,000, not 0"),
        (["--format", "pdf"], 2, "--format can't be 'pdf': it is one of md, jsonl, html"),
        (["--attachments"], 2, "--attachments needs --out DIR"),
        (["--out", "absent/x.md"], 2, "there is no directory"),
        (["--out", "/dev/null/x.md"], 2, "there is no directory /dev/null"),
        (["thread", "msg_1770536761607_k3v9x2m1a"], 3, "msg_1770536761607_k3v9x2m1a"),
        (["session", "absent"], 3, "absent"),
        (["with", "ann", "absent"], 3, "a"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_write_nothing(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    before = sorted(os.listdir(shell.root))
    ran = shell.run("export", *arguments)
    assert ran.code == code, ran
    assert said in ran.err
    assert ran.out == ""
    assert [name for name in os.listdir(shell.root) if name not in (*before, "data", "run")] == []


def test_a_session_does_not_export_what_is_not_its_own(team: dict[str, Shell], asked: str) -> None:
    assert team["eve"].run("export", "thread", asked).code == exit_codes.NOT_FOUND
    assert team["eve"].run("export", "session", "lead").code == exit_codes.REFUSED
    assert texts(team["eve"].done("export", "--query", "done", "--json")) == []


def attach(shell: Shell, to: Shell, name: str, content: bytes) -> str:
    """Send a message with one file, through the library; its id."""
    digest = hashlib.sha256(content).hexdigest()
    with shell.client() as client:
        for at in range(0, len(content), BLOB_PART_BYTES_MAX):
            part = content[at : at + BLOB_PART_BYTES_MAX]
            client.request(blob_commands.blob_put(digest, len(content), at, part))
    attachment: Any = {"name": name, "size": len(content), "type": "text/plain", "sha256": digest}
    return str(shell.send_to_all([to], f"with {name}", attachments=[attachment])["id"])


def test_attachments_are_saved_once_beside_the_document(team: dict[str, Shell]) -> None:
    content = os.urandom(700_000)
    attach(team["ann"], team["lead"], "cart [1].patch", content)
    attach(team["ann"], team["ben"], "cart [1].patch", content)
    attach(team["ann"], team["ben"], "notes.md", b"notes")
    folder = Path(team["person"].root) / "cart"
    team["person"].done("export", "--attachments", "--out", str(folder))
    saved = {path.name.partition("-")[2]: path for path in (folder / "files").iterdir()}
    assert set(saved) == {"cart [1].patch", "notes.md"}
    assert saved["cart [1].patch"].read_bytes() == content
    page = (folder / "all.md").read_text("utf-8")
    assert page.count("](<files/") == 3
    assert "cart%20%5B1%5D.patch>)" in page
    # Once more: nothing is fetched again, and the document needs --force.
    team["person"].done("export", "--attachments", "--out", str(folder), "--force", "--format", "html")
    assert 'href="files/' in (folder / "all.html").read_text("utf-8")
    plain = team["person"].done("export").out
    assert "- file: notes.md, 5 B, sha256 " in plain
    # A document's name stays one: the files stand beside it.
    team["person"].done("export", "--attachments", "--out", str(folder / "named.md"))
    assert "](<files/" in (folder / "named.md").read_text("utf-8")
    assert {path.name for path in folder.iterdir()} == {"all.md", "all.html", "named.md", "files"}
