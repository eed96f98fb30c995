"""Where templates are looked for: the project, the user, then the shipped ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_cli.templates import template_files, template_text
from maestro_schemas.errors import MaestroError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    (home / "repo" / "src").mkdir(parents=True)
    return {"HOME": str(home), "MAESTRO_CONFIG": str(tmp_path / "config" / "config.toml")}


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_the_shipped_ones_are_whole(environ: dict[str, str], tmp_path: Path) -> None:
    found = template_files.names(environ, str(tmp_path))
    assert dict.fromkeys(template_files.SHIPPED) == found
    for name in found:
        template = template_files.read(name, environ, str(tmp_path))
        assert template.text
        assert template.source == "shipped"
        filled = template_text.filled(template, dict.fromkeys(template.places, "x"))
        assert "{{" not in filled.text + "".join(filled.fields.values())
    folder = os.path.join(os.path.dirname(template_files.__file__), "shipped")
    assert sorted(os.listdir(folder)) == sorted(f"{name}.md" for name in template_files.SHIPPED)


def test_the_project_outweighs_the_user_who_outweighs_the_shipped(environ: dict[str, str], tmp_path: Path) -> None:
    repo = tmp_path / "home" / "repo"
    user, project = tmp_path / "config" / "templates", repo / ".maestro" / "templates"
    write(user, "review.md", "the user's")
    write(user, "mine.md", "mine")
    assert template_files.read("review", environ, str(repo / "src")).text == "the user's"
    write(project, "review.md", "the project's")
    for ignored in ("notes.txt", ".hidden.md", "a b.md"):
        write(project, ignored, "x")
    found = template_files.read("review", environ, str(repo / "src"))
    assert (found.text, found.source, found.path) == ("the project's", "project", str(project / "review.md"))
    assert template_files.read("mine", environ, str(repo)).source == "user"
    assert list(template_files.names(environ, str(repo))) == ["handoff", "mine", "review", "status"]


@pytest.mark.parametrize("stop", ["home", "repository"])
def test_the_search_ends_at_the_repository_and_at_home(environ: dict[str, str], tmp_path: Path, stop: str) -> None:
    repo = tmp_path / "home" / "repo"
    outside = tmp_path if stop == "home" else tmp_path / "home"
    write(outside / ".maestro" / "templates", "far.md", "x")
    if stop == "repository":
        assert "far" in template_files.names(environ, str(repo / "src"))
        (repo / ".git").mkdir()
    assert "far" not in template_files.names(environ, str(repo / "src"))


def test_an_unknown_name_has_the_list(environ: dict[str, str], tmp_path: Path) -> None:
    for name, guess in (("reviw", "Did you mean review?"), ("../../etc/passwd", ""), ("", "")):
        with pytest.raises(MaestroError) as raised:
            template_files.read(name, environ, str(tmp_path))
        assert raised.value.code == "INVALID"
        assert "handoff, review, status" in raised.value.hint
        assert guess in raised.value.hint


def test_a_file_that_is_none_is_refused_at_once(environ: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / ".maestro" / "templates"
    write(folder, "latin.md", "")
    (folder / "latin.md").write_bytes(b"caf\xe9")
    os.mkfifo(folder / "pipe.md")
    (folder / "folder.md").mkdir()
    (folder / "gone.md").symlink_to(folder / "nowhere")
    for name in ("latin", "pipe", "folder", "gone"):
        with pytest.raises(MaestroError) as raised:
            template_files.read(name, environ, str(tmp_path))
        assert raised.value.code == "FILE_UNREADABLE"


def test_a_folder_that_can_not_be_listed_is_passed_over(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".maestro" / "templates", "mine.md", "x")

    def refuse(_path: str) -> list[str]:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "listdir", refuse)
    assert list(template_files.names(environ, str(tmp_path))) == sorted(template_files.SHIPPED)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_passed_over(environ: dict[str, str], tmp_path: Path) -> None:
    """As in a shared directory, where that user has made `.maestro`."""
    folder = tmp_path / ".maestro" / "templates"
    write(folder, "theirs.md", "x")
    os.chown(folder, 12_345, 12_345)
    assert "theirs" not in template_files.names(environ, str(tmp_path))
