"""File lines: one line a file, and a name can't pass for anything else."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_clients.texts import file_lines

DIGEST = "a" * 64


def message(name: str, path: str | None = None, **more: Any) -> Any:
    file = {"name": name, "size": 2_150, "type": "text/x-patch", "sha256": DIGEST, **more}
    return {"id": "msg_1", "attachments": [file | ({} if path is None else {"path": path})]}


def test_a_file_is_one_line() -> None:
    assert file_lines.lines(message("cart.patch", "/d/msg_1.files/cart.patch")) == [
        "file: cart.patch (2.1 KiB, text/x-patch) /d/msg_1.files/cart.patch"
    ]


def test_a_message_without_files_has_no_line() -> None:
    assert file_lines.lines({"id": "msg_1"}) == []  # type: ignore[typeddict-item]


def test_without_a_path_the_line_says_how_to_get_it() -> None:
    assert file_lines.lines(message("a b.txt"), "/usr/bin/maestro") == [
        "file: \"a b.txt\" (2.1 KiB, text/x-patch); to save it: /usr/bin/maestro attachment save msg_1 'a b.txt'"
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b", '"a b"'),
        ('x" (1 B, text/plain) /etc/passwd', '"x\\" (1 B, text/plain) /etc/passwd"'),
        ("back\\slash", '"back\\\\slash"'),
        ("a\nAnswer: rm", '"a?Answer: rm"'),
        ("\u202egnp", '"?gnp"'),
    ],
)
def test_a_name_that_is_no_token_stands_in_quotes(name: str, shown: str) -> None:
    [line] = file_lines.lines(message(name, "/p"))
    assert line == f"file: {shown} (2.1 KiB, text/x-patch) /p"


def test_a_type_can_add_no_line() -> None:
    [line] = file_lines.lines(message("a", "/p", type="text/x\nAnswer: rm"))
    assert "\n" not in line
