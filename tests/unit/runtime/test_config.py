"""Config: the file of settings, and the line of each error in it."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_runtime import config
from maestro_runtime.toml_lines import key_lines
from maestro_schemas import http_limits
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = '''\
# [limits]
[limits]
"rate_limit" = 60      # a comment with ] and "
retention = """\\
   9d"""

[http]
port = 0
enabled = false
body-bytes-max = "64k"
keep_alive = "5s"

[projects]
shop = { retention = "30d" }  # [nothing]
'a"b'.retention = '1h'
[projects."c.d"]
"reten\\u0074ion_ms" = 2_000
'''


def wrong(text: str | bytes) -> MaestroError:
    """The error that an invalid file causes."""
    with pytest.raises(MaestroError) as caught:
        config.parse(text if isinstance(text, bytes) else text.encode(), "config.toml")
    assert caught.value.code == "BAD_SETTING"
    return caught.value


def test_what_a_file_says_and_where() -> None:
    file = config.parse(TEXT.encode(), "c.toml")
    assert file.section("limits") == {"rate_limit": "60", "retention_ms": "9d"}
    assert file.where("limits", "rate_limit") == "c.toml:3"
    assert file.where("http", "keep_alive_ms") == "c.toml:11"
    kept = {project: own["retention_ms"] for project, own in file.of_projects().items()}
    assert kept == {"shop": 30 * 86_400_000, 'a"b': 3_600_000, "c.d": 2_000}
    lines = {key[1]: found.line for key, found in file.settings.items() if key[0] == "projects"}
    assert lines == {"shop": 14, 'a"b': 15, "c.d": 17}
    assert http_limits.resolve({}, file.section("http")).body_bytes_max == 64 << 10
    crlf = config.parse(TEXT.replace("\n", "\r\n").encode(), "c.toml")
    assert {key: found.line for key, found in crlf.settings.items()} == {
        key: found.line for key, found in file.settings.items()
    }


def test_a_retention_that_counts_from_the_reading() -> None:
    file = config.parse(b"[limits]\nretention = ' read+24h'\n[projects.shop]\nretention = 'read+2h'\n", "c.toml")
    assert file.section("limits") == {"read_retention_ms": "24h"}
    assert file.of_projects() == {"shop": {"read_retention_ms": 7_200_000}}
    assert file.where("projects", "shop", "read_retention_ms") == "c.toml:4"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n[limits]\n\nrate_limt = 1\n", 4, "unknown key 'rate_limt' in [limits]; did you mean rate_limit?"),
        ("limits.zzz = 1\n", 1, "unknown key 'zzz' in [limits]"),
        ("[limit]\n", 1, "did you mean limits?"),
        ("on = 1\n", 1, "unknown table or key 'on'"),
        ("[http]\nx = [\n '[limits]', # ]\n]\n", 2, "unknown key 'x'"),
        ("[limits]\nretention = '7d'\nretention_ms = 5000\n", 3, "set twice, first in line 2"),
        ("[limits]\nread_retention = '1d'\nretention = 'read+2d'\n", 3, "set twice, first in line 2"),
        ("[projects.shop]\nretention = 'read+2'\n", 2, "it has no unit"),
        ("\nrate-limit = 5\n[http]\n", 2, "'rate-limit' stands in no table"),
        ("port = 5\n", 1, "'port' stands in no table"),
        ("[projects]\nretention = '7d'\n", 2, "the keys of [projects] are projects' names"),
        ("[limits]\nretention = 86400\n", 2, "retention can't be '86400': it has no unit"),
        ("[projects.shop]\nretention = 86400\n", 2, "it has no unit"),
        ("[http]\nlinger = 5000\n", 2, "it has no unit"),
        ("[limits]\nrate_limit = -1\n", 2, "can't be '-1'"),
        ("[limits]\nrate_limit = true\n", 2, "can't be 'True'"),
        ("[limits]\nrate_limit = 1.5\n", 2, "must be a number or text"),
        ("[limits]\nrate_limit = { a = 1 }\n", 2, "must be a number or text"),
        ("[limits]\nretention = 'soon'\n", 2, "it is a duration"),
        ("[http]\nhost = 1\n", 2, "must be a text"),
        ("[http]\nhost = ''\n", 2, "must be a text"),
        ("[http]\n\nport = 65536\n", 3, "can't be '65536'"),
        ("limits = 3\n", 1, "must be a table"),
        ("[[limits]]\n", 1, "must be a table"),
        ("projects = 3\n", 1, "must be a table"),
        ("[projects]\nshop = 3\n", 2, "must be a table"),
        ("[projects.shop]\n\nretenton = '3d'\n", 3, "did you mean retention?"),
        ("[projects]\nshop = {retention = '3d', x = [1, {y = 2},\n]}\n", 2, "unknown key 'x'"),
    ],
)
def test_an_error_names_its_line(text: str, line: int, words: str) -> None:
    error = wrong(text)
    assert error.message.startswith(f"config.toml line {line}: "), error.message
    assert words in error.message
    assert error.hint
    assert error.details == {"path": "config.toml", "line": line}


def test_an_error_names_the_correct_form() -> None:
    for text, hint in (
        ("rate_limit = 5\n", "Put it below a line [limits]."),
        ("[limits]\nrequire_token = 'maybe'\n", "Give true or false."),
        ("[limits]\nrate_limit = 1.5\n", "Give a whole number: 0 to 1,000,000,000."),
        ("[limits]\nretention = '7'\n", "Give a duration with its unit, such as 30s, 5m, 1h or 7d: 1s or more."),
        ("[limits]\nlease_ms_max = '2h'\n", "Give a duration with its unit, such as 30s, 5m, 1h or 7d: 1ms to 1h."),
        ("[limits]\nprint_chars_max = 3\n", "Give a whole number: 500 or more."),
        ("[limits]\ndata_bytes_max = '1g'\n", "Give a number of bytes, or a size such as 64k or 1m: 0 to 262,144."),
        ("[limits]\non_ended = true\n", "Give one of error, queue, redirect."),
        ("[http]\nhost = 1\n", "Give a text."),
    ):
        assert wrong(text).hint == hint


def test_a_mark_of_the_encoding_is_no_key() -> None:
    file = config.parse(b"\xef\xbb\xbf[limits]\nrate_limit = 5\n", "c.toml")
    assert file.where("limits", "rate_limit") == "c.toml:2"


def test_what_is_no_toml_or_no_text() -> None:
    assert "line 2, column" in wrong("[limits]\nrate_limit = = 3\n").message
    assert wrong(b"[limits]\n\xff = 3\n").message == "config.toml line 2: is not UTF-8 (byte 0xff)"
    assert "no TOML" in wrong("a = " + "[" * 10_000).message


KEYS = st.text(st.sampled_from("ab._-\"[]#= \\'{}"), min_size=1, max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        ["1", "true", "1.5", "1979-05-27T07:32:00Z", "'[a]'", '"a # ] \\" b"', "'''a\n'b'\n'''", '"""\n""a\\\\"""']
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda found: "[ # ]\n" + ",\n".join(found) + "]"),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.booleans(), KEYS, KEYS, VALUES, st.booleans()), max_size=6))
def test_every_key_is_found_on_its_line(rows: list[tuple[bool, str, str, str, bool]]) -> None:
    """Compared with the lines that were written, for any keys and values."""
    lines: list[str] = []
    wanted: dict[tuple[str, ...], int] = {}
    for number, (is_table, first, second, value, inline) in enumerate(rows):
        outer, inner = f"{number}{first}", second
        at = "\n".join(lines).count("\n") + 2 if lines else 1
        quoted = ['"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in (outer, inner)]
        if is_table:
            lines.append(f"[ {quoted[0]} ] # [x]\n{quoted[1]} = {value}")
            wanted |= {(outer,): at, (outer, inner): at + 1}
        elif not any(row[0] for row in rows[:number]):
            one_line = value.replace("\n", " ") if value[0] != "[" and "\n" not in value else "1"
            lines.append(
                f"{quoted[0]} = {{ {quoted[1]} = {one_line} }}" if inline else f"{quoted[0]} . {quoted[1]} = {value}"
            )
            wanted |= {(outer,): at, (outer, inner): at}
    text = "\n".join(lines)
    tomllib.loads(text)
    found = key_lines(text)
    assert {key: found[key] for key in wanted} == wanted


def refuse(environ: dict[str, str]) -> None:
    with pytest.raises(MaestroError, match="can't be read") as caught:
        config.read(environ)
    assert caught.value.code == "BAD_SETTING"
    assert config.digest(environ) == ""


def test_a_file_that_is_not_there_or_can_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    environ = {"MAESTRO_CONFIG": str(path)}
    assert config.read(environ) == config.ConfigFile(str(path))
    assert config.digest(environ) == ""
    path.write_text("[limits]\nrate_limit = 5\n")
    assert config.read(environ).digest == config.digest(environ) != ""
    path.write_bytes(b"#" * (config.FILE_BYTES_MAX + 1))
    refuse(environ)
    path.unlink()
    os.mkfifo(path)
    refuse(environ)
    path.unlink()
    path.write_text("")
    with pytest.raises(MaestroError, match=r"config\.toml is a file, and must be a directory"):
        config.read({"MAESTRO_CONFIG": str(path / "x")})


def test_the_front_of_the_gateway() -> None:
    front, origins = http_limits.front(
        {"MAESTRO_HTTP": "off", "MAESTRO_HTTP_PORT": "7"}, {"port": "9", "host": "::1"}
    )
    assert front == {"enabled": 0, "port": 7, "host": "::1", "origins": ""}
    assert origins == {"enabled": "environment", "port": "environment", "host": "config", "origins": "default"}
    with pytest.raises(MaestroError, match="MAESTRO_HTTP_PORT can't be 'x'"):
        http_limits.front({"MAESTRO_HTTP_PORT": "x"}, {})
    assert http_limits.resolve({"MAESTRO_HTTP_KEEP_ALIVE": "2s"}).keep_alive_ms == 2_000
