"""Config: the file of settings, read by the broker, the gateway and the command line.

Rule: the whole file is validated wherever it is read, and a wrong key or value is reported with its line. Environment
variables and flags override it. The paths, the session and whether a broker may be started concern one shell, so they
are set in its environment only. Without a file, no parser is imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, get_args

from maestro_schemas import http_limits, limits
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import LimitDoc
from maestro_schemas.vocabularies import WakeSetting

from . import paths, places

if TYPE_CHECKING:
    from collections.abc import Mapping

# All settings with their comments are 4 KiB; a file above this size is not a config file.
FILE_BYTES_MAX = 1 << 18

# Of [hooks], and its variable.
WAKE = "wake"
WAKE_VARIABLE = "MAESTRO_WAKE"
WAKE_DEFAULT = "idle"
# The keys of each table. A new table is a row here.
SECTIONS: dict[str, dict[str, LimitDoc]] = {
    "limits": limits.DOCS,
    "http": {**http_limits.FRONT_DOCS, **http_limits.DOCS},
    "hooks": {
        WAKE: LimitDoc("word", 0, 0, "whether mail may start a turn of an idle agent", get_args(WakeSetting)),
    },
}
# The keys of each [projects.<id>].
PROJECT_DOCS: dict[str, LimitDoc] = {name: limits.DOCS[name] for name in ("retention_ms", "read_retention_ms")}


class ConfigEntry(NamedTuple):
    """The value of one key."""

    text: str  # as an environment variable would spell it
    line: int  # from 1


class ConfigFile(NamedTuple):
    """The content of the file."""

    path: str
    digest: str = ""  # of its bytes; empty without a file
    settings: Mapping[tuple[str, ...], ConfigEntry] = {}  # by full key

    def section(self, *table: str) -> dict[str, str]:
        """The values of one table, by key."""
        return {key[-1]: found.text for key, found in self.settings.items() if key[:-1] == table}

    def where(self, *key: str) -> str:
        """`<path>:<line>` of a key in the file."""
        return f"{self.path}:{self.settings[key].line}"

    def of_projects(self) -> dict[str, dict[str, int]]:
        """The settings of each project that has its own, by project id and name."""
        found: dict[str, dict[str, int]] = {}
        for key, entry in self.settings.items():
            if key[0] == "projects":
                value = limits.parse_value(key[2], PROJECT_DOCS[key[2]], entry.text)
                found.setdefault(key[1], {})[key[2]] = int(value)
        return found


def read(environ: Mapping[str, str]) -> ConfigFile:
    """The user's file; without a file, an empty one. Raises MaestroError BAD_SETTING, with the line."""
    path = paths.config_file(environ)
    raw = _bytes(path)
    return ConfigFile(path) if raw is None else parse(raw, path)


def wake_setting(environ: Mapping[str, str], file: ConfigFile | None = None) -> str | None:
    """Whether mail may wake the agents that start in this environment: `idle` or `off`; None where neither the
    environment nor the file says it. Raises MaestroError BAD_SETTING."""
    shown, text = WAKE_VARIABLE, environ.get(WAKE_VARIABLE)
    if not text:
        shown, text = WAKE, (file or read(environ)).section("hooks").get(WAKE)
    return str(limits.parse_value(shown, SECTIONS["hooks"][WAKE], text)) if text else None


def digest(environ: Mapping[str, str]) -> str:
    """The digest of the present file, valid or not; empty without a file, or if it can't be read."""
    try:
        raw = _bytes(paths.config_file(environ))
    except MaestroError:
        return ""
    return "" if raw is None else _digest(raw)


def parse(raw: bytes, path: str) -> ConfigFile:
    """Parse and validate the file's bytes. Raises MaestroError BAD_SETTING, with the line."""
    import tomllib

    from .toml_lines import key_lines

    try:
        text = raw.decode("utf-8-sig")  # some editors begin a file with a mark of its encoding
        tables = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _wrong(path, line, f"is not UTF-8 (byte 0x{raw[error.start]:02x})", "Save the file as UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MaestroError(
            "BAD_SETTING",
            f"{path} is no TOML: {error}",
            "Correct it; `maestro config init` shows the format.",
        ) from None
    # TOML's line ends are \n and \r\n, and tomllib makes them one.
    check = _Validator(path, key_lines(text.replace("\r\n", "\n")))
    for name, table in tables.items():
        if name == "projects":
            check.is_table((name,), table)
            for project, own in table.items():
                if not isinstance(own, dict):
                    check.no_project(project)
                check.table((name, project), own, PROJECT_DOCS)
        elif name in SECTIONS:
            check.table((name,), table, SECTIONS[name])
        else:
            check.stray(name)
            check.unknown((name,), [*SECTIONS, "projects"])
    return ConfigFile(path, _digest(raw), check.settings)


class _Validator:
    """Collects valid settings; raises MaestroError BAD_SETTING for others."""

    def __init__(self, path: str, lines: Mapping[tuple[str, ...], int]) -> None:
        self._path = path
        self._lines = lines
        self.settings: dict[tuple[str, ...], ConfigEntry] = {}

    def is_table(self, key: tuple[str, ...], value: object) -> None:
        if not isinstance(value, dict):
            raise self._error(key, f"{key[-1]!r} must be a table", f"Write [{'.'.join(key)}], and settings below it.")

    def table(self, table: tuple[str, ...], value: object, docs: Mapping[str, LimitDoc]) -> None:
        self.is_table(table, value)
        assert isinstance(value, dict)  # noqa: S101 - for the type checker; `is_table` has looked
        for written, found in value.items():
            key = (*table, written)
            name = _canonical(written, docs)
            if name not in docs:
                self.unknown(key, [known.removesuffix("_ms") for known in docs])
            text = self._value(key, docs[name], found)
            if docs[name] is limits.DOCS["retention_ms"]:
                name, text = limits.setting_of(name, text), text.strip().removeprefix(limits.AFTER_READING)
            if (*table, name) in self.settings:
                first = self.settings[(*table, name)].line
                raise self._error(key, f"{written!r} is set twice, first in line {first}", "Leave one of them.")
            self.settings[(*table, name)] = ConfigEntry(text, self._lines[key])

    def stray(self, written: str) -> None:
        """Refuse a setting that stands above all tables."""
        for section, docs in SECTIONS.items():
            if _canonical(written, docs) in docs:
                raise self._error((written,), f"{written!r} stands in no table", f"Put it below a line [{section}].")

    def no_project(self, written: str) -> None:
        """Refuse a setting in [projects] itself."""
        raise self._error(
            ("projects", written),
            f"{written!r} must be a table: the keys of [projects] are projects' names",
            "Write [projects.PROJECT], with the project's name, and its settings below that line.",
        )

    def unknown(self, key: tuple[str, ...], known: list[str]) -> None:
        from maestro_schemas.texts.near_words import nearest

        inside = f" in [{'.'.join(key[:-1])}]" if key[:-1] else ""
        near = nearest(key[-1], known)
        guess = f"; did you mean {near[0]}?" if near else ""
        what = "key" if inside else "table or key"
        raise self._error(
            key, f"unknown {what} {key[-1][:80]!r}{inside}{guess}", f"Known: {', '.join(sorted(known))}."
        )

    def _value(self, key: tuple[str, ...], doc: LimitDoc, value: object) -> str:
        if not isinstance(value, str | int) or (
            doc.unit == "text" and not (isinstance(value, str) and len(value) >= doc.low)
        ):
            kind = "text" if doc.unit == "text" else "number or text"
            raise self._error(key, f"{key[-1]!r} must be a {kind}: it is {doc.text}", f"Give {limits.allowed(doc)}.")
        if doc.unit != "text":
            try:
                limits.parse_value(key[-1], doc, str(value))
            except MaestroError as error:
                raise self._error(key, error.message, error.hint, limit=error.limit, actual=error.actual) from None
        return str(value)

    def _error(
        self, key: tuple[str, ...], what: str, hint: str, *, limit: int | None = None, actual: int | None = None
    ) -> MaestroError:
        return _wrong(self._path, self._lines[key], what, hint, limit=limit, actual=actual)


def _wrong(
    path: str, line: int, what: str, hint: str, *, limit: int | None = None, actual: int | None = None
) -> MaestroError:
    details = {"path": path, "line": line}
    return MaestroError(
        "BAD_SETTING", f"{path} line {line}: {what}", hint, limit=limit, actual=actual, details=details
    )


def _canonical(written: str, docs: Mapping[str, LimitDoc]) -> str:
    name = written.replace("-", "_").lower()
    return f"{name}_ms" if f"{name}_ms" in docs else name


def _digest(raw: bytes) -> str:
    import hashlib

    return hashlib.sha256(raw).hexdigest()[:16]


def _bytes(path: str) -> bytes | None:
    try:
        raw = places.read(path, FILE_BYTES_MAX + 1)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(path):
            return None
        raise places.refusal(
            "BAD_SETTING",
            f"the config file {places.shown(path)} can't be read",
            error,
            "Or set MAESTRO_CONFIG to another one.",
        ) from None
    if len(raw) > FILE_BYTES_MAX:
        raise MaestroError(
            "BAD_SETTING",
            f"the config file {path} can't be read: it has more than {FILE_BYTES_MAX:,} bytes",
            "Correct it, move it away, or set MAESTRO_CONFIG to another one.",
        )
    return raw
