"""Login codes: each works once, for a minute, and for whom it was made."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from maestro_clients.processes import login_codes

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_770_000_000_000


def only(data: str) -> str:
    [name] = [name for name in os.listdir(login_codes.directory(data)) if not name.endswith(".html")]
    return os.path.join(login_codes.directory(data), name)


@pytest.mark.parametrize("rights", ["full", "view"])
def test_a_code_works_once(tmp_path: Path, rights: login_codes.Rights) -> None:
    data = str(tmp_path)
    code = login_codes.issue(data, rights, NOW_MS)
    assert login_codes.claim(data, code, NOW_MS + 1) == rights
    assert login_codes.claim(data, code, NOW_MS + 1) is None
    assert os.listdir(login_codes.directory(data)) == []


def test_two_codes_differ_and_have_128_bits(tmp_path: Path) -> None:
    codes = {login_codes.issue(str(tmp_path), "full", NOW_MS) for _ in range(20)}
    assert len(codes) == 20
    assert all(len(code) * 6 >= 128 for code in codes)


def test_the_disk_has_the_digest_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    data = str(tmp_path)
    code = login_codes.issue(data, "full", NOW_MS)
    path = only(data)
    with open(path, encoding="ascii") as file:
        assert code not in file.read()
    assert code not in path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for folder in (os.path.dirname(path), os.path.dirname(os.path.dirname(path))):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


@pytest.mark.parametrize("after_ms", [login_codes.LIFE_MS, login_codes.LIFE_MS * 10, -1])
def test_a_code_that_is_too_old_or_of_the_future(tmp_path: Path, after_ms: int) -> None:
    code = login_codes.issue(str(tmp_path), "full", NOW_MS)
    assert login_codes.claim(str(tmp_path), code, NOW_MS + after_ms) is None
    assert login_codes.claim(str(tmp_path), code, NOW_MS) is None, "it is used up"


@pytest.mark.parametrize("code", ["", "x", "..", "../codes", "a" * 65, "\0", "é", "日本"])
def test_a_code_that_was_never_made(tmp_path: Path, code: str) -> None:
    login_codes.issue(str(tmp_path), "full", NOW_MS)
    assert login_codes.claim(str(tmp_path), code, NOW_MS) is None
    assert login_codes.claim(str(tmp_path / "none"), code, NOW_MS) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"expiresAt": "soon", "rights": "full"}', b'{"expiresAt": 1770000060000}',
     b'{"expiresAt": 1770000060000, "rights": "root"}'],
)  # fmt: skip
def test_a_file_that_says_nothing(tmp_path: Path, content: bytes) -> None:
    code = login_codes.issue(str(tmp_path), "full", NOW_MS)
    with open(only(str(tmp_path)), "wb") as file:
        file.write(content)
    assert login_codes.claim(str(tmp_path), code, NOW_MS) is None


def test_a_file_that_others_can_write_to_is_no_code(tmp_path: Path) -> None:
    code = login_codes.issue(str(tmp_path), "full", NOW_MS)
    os.chmod(only(str(tmp_path)), 0o620)
    assert login_codes.claim(str(tmp_path), code, NOW_MS) is None


def test_a_link_is_no_code(tmp_path: Path) -> None:
    code = login_codes.issue(str(tmp_path), "full", NOW_MS)
    path = only(str(tmp_path))
    os.rename(path, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", path)
    assert login_codes.claim(str(tmp_path), code, NOW_MS) is None


def test_of_many_claims_at_once_one_succeeds(tmp_path: Path) -> None:
    for _ in range(20):
        code = login_codes.issue(str(tmp_path), "full", NOW_MS)
        start = threading.Barrier(4)
        won: list[str | None] = []

        def claim(code: str = code, start: threading.Barrier = start, won: list[str | None] = won) -> None:
            start.wait()
            won.append(login_codes.claim(str(tmp_path), code, NOW_MS))

        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, won)) == ["None", "None", "None", "full"]


def test_the_browsers_file_is_private_and_goes_with_the_code(tmp_path: Path) -> None:
    data = str(tmp_path)
    code = login_codes.issue(data, "full", NOW_MS)
    path = login_codes.redirect(data, code, f'http://127.0.0.1:1/ui/#code={code}&"<')
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert f"url=http://127.0.0.1:1/ui/#code={code}&amp;&quot;&lt;" in text
    assert code not in path
    login_codes.claim(data, code, NOW_MS)
    assert os.listdir(login_codes.directory(data)) == []


def test_what_is_too_old_is_removed_by_the_next_code_and_all_by_a_start(tmp_path: Path) -> None:
    data = str(tmp_path)
    first = login_codes.issue(data, "full", NOW_MS)
    login_codes.redirect(data, first, "http://127.0.0.1:1/")
    second = login_codes.issue(data, "full", NOW_MS + 1)
    assert len(os.listdir(login_codes.directory(data))) == 3
    login_codes.issue(data, "full", NOW_MS + login_codes.LIFE_MS)
    assert login_codes.claim(data, first, NOW_MS) is None
    assert login_codes.claim(data, second, NOW_MS + 2) == "full"
    login_codes.forget(data)
    assert os.listdir(login_codes.directory(data)) == []
    login_codes.forget(str(tmp_path / "none"))
