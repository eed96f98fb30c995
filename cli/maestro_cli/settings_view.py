"""Settings view: every setting with its value and the value's origin.

Rule: a running broker reports its own settings. Without one, the config file and the environment are read as a broker
reads them at its start. An invalid file is then an error; while a broker runs, it is only a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_runtime import config, paths, places
from maestro_schemas import http_limits, limits
from maestro_schemas.errors import MaestroError

from .output.render import value_shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .context import CommandContext

_RESTART = "restart to apply: maestro down && maestro up"
# Settings of one shell, which a config file can't contain.
_SHELL = (
    ("data_dir", "MAESTRO_DATA_DIR", "where mail and journal are"),
    ("runtime_dir", "MAESTRO_RUNTIME_DIR", "where the sockets are"),
    ("autostart", "MAESTRO_AUTOSTART", "whether a missing broker is started"),
)


class SettingRow(NamedTuple):
    """One setting. The field names are also those of `maestro config show --json`."""

    # With its table, such as `http.port`; limits have no table.
    name: str
    value: Any
    unit: str
    # `default`, `config`, `environment` or `flag`.
    origin: str
    # The line of the config file or the variable; None for other origins.
    where: str | None
    # The meaning of the setting, for people.
    what: str


class SettingsView(NamedTuple):
    """All settings, and the file that they come from."""

    # The config file.
    path: str
    # The running broker's process; None where none runs.
    pid: int | None
    # Whether the file has changed since the broker read it.
    changed: bool
    settings: list[SettingRow]
    # Notes for people.
    notes: list[str]


def collect(context: CommandContext) -> SettingsView:
    """Collect all settings. Raises MaestroError BAD_SETTING where no broker runs and a setting is invalid."""
    running = context.running()
    if running is None:
        file = config.read(context.environ)
        limits_found = _limits_at_start(file, context.environ)
        found = [*limits_found, *_http(file, context.environ), *_hooks(file, context.environ), *_projects(file)]
        return SettingsView(file.path, None, changed=False, settings=[*found, *_shell(context)], notes=[])
    from maestro_clients.client import Client

    with Client(running.router, context.as_operator().caller) as client:
        stats = client.stats()
    broker_config = stats.get("config", {})
    path = broker_config.get("path") or paths.config_file(context.environ)
    found = [
        SettingRow(
            name, row.get("value"), row.get("unit", ""), row.get("from", "?"), row.get("where"), row.get("what", "")
        )
        for name, row in stats.get("limits", {}).items()
    ]
    for project, rows in broker_config.get("projects", {}).items():
        for name, row in rows.items():
            what = config.PROJECT_DOCS[name].text if name in config.PROJECT_DOCS else ""
            found.append(
                SettingRow(f"projects.{project}.{name}", row["value"], row["unit"], "config", row.get("where"), what)
            )
    notes = []
    # Read the broker's file: this shell may name another one. The broker names it as text, with escapes.
    own = paths.config_file(context.environ)
    is_own = places.shown(own) == path
    environ = {**context.environ, "MAESTRO_CONFIG": own if is_own else path}
    changed = config.digest(environ) != broker_config.get("digest", "")
    if changed:
        notes.append(f"{path} has changed since the broker (pid {running.pid}) started; {_RESTART}")
    if not is_own:
        notes.append(f"the broker has read {path}, and this shell names {own}")
    try:
        found += _http(config.read(environ), environ)
    except MaestroError as error:
        notes.append(f"the next start would fail: {error.message}")
    try:
        # Hooks read the file that the agent's own shell names.
        found += _hooks(config.read(context.environ), context.environ)
    except MaestroError as error:
        # As the hooks do: a mistake keeps no mail from an agent.
        doc = config.SECTIONS["hooks"][config.WAKE]
        found.append(SettingRow(f"hooks.{config.WAKE}", config.WAKE_DEFAULT, doc.unit, "default", None, doc.text))
        if not any(error.message in note for note in notes):
            notes.append(f"agents that start here go by the default of hooks.wake: {error.message}")
    return SettingsView(path, running.pid, changed, [*found, *_shell(context)], notes)


def select(settings: Sequence[SettingRow], names: Sequence[str]) -> list[SettingRow]:
    """The settings with these names; all for no names. A name may have the prefix `limits.`, and may leave out `_ms`.

    Raises MaestroError BAD_SETTING for an unknown name.
    """
    if not names:
        return list(settings)
    by_name = {setting.name: setting for setting in settings}
    selected = []
    for given in names:
        name = given.removeprefix("limits.").replace("-", "_")
        setting = by_name.get(name) or by_name.get(f"{name}_ms") or by_name.get(given)
        if setting is None:
            from maestro_schemas.texts.near_words import nearest

            # A setting's name may be given without its unit.
            near = nearest(name, by_name) or nearest(f"{name}_ms", by_name)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise MaestroError(
                "BAD_SETTING", f"there is no setting {given[:80]!r}", f"{hint}`maestro config show` lists them all."
            )
        selected.append(setting)
    return selected


def cells(setting: SettingRow) -> tuple[str, str, str]:
    """Name, value and origin, formatted for people."""
    if setting.origin == "config":
        origin = f"config file {setting.where}" if setting.where else "config file"
    elif setting.origin == "environment":
        origin = f"environment {setting.where}" if setting.where else "environment"
    else:
        origin = "flag of the running broker" if setting.origin == "flag" else setting.origin
    return setting.name, value_shown(setting.value, setting.unit), origin


def template() -> str:
    """A config file that has every setting as a comment, with its default."""
    lines = ["# Settings of the Maestro post office. A broker reads this file at its start:", "#"]
    lines += ["#   maestro down && maestro up", "#   maestro config show", "", "[limits]"]
    defaults: dict[str, Any] = limits.Limits()._asdict()
    for name, doc in limits.DOCS.items():
        lines += _commented(name, doc, defaults[name])
    lines += ["", "[http]"]
    fronts: dict[str, Any] = {**http_limits.FRONT_DEFAULTS, **http_limits.HttpLimits()._asdict()}
    for name, doc in config.SECTIONS["http"].items():
        lines += _commented(name, doc, fronts[name])
    lines += ["", "[hooks]", *_commented(config.WAKE, config.SECTIONS["hooks"][config.WAKE], config.WAKE_DEFAULT)]
    lines += ["", "# A project may keep its mail for another time."]
    lines += ["# [projects.shop]", '# retention = "30d"  # "read+24h" is a day after it was read', ""]
    return "\n".join(lines)


def _commented(name: str, doc: limits.LimitDoc, value: object) -> list[str]:
    if isinstance(value, str):
        return [f"# {doc.text}", f'# {name} = "{value}"']
    if doc.unit == "switch":
        return [f"# {doc.text}", f"# {name} = {'true' if value else 'false'}"]
    if doc.unit == "ms" and isinstance(value, int):
        return [f"# {doc.text}", f'# {name.removesuffix("_ms")} = "{limits.duration_text(value)}"']
    return [f"# {doc.text} ({limits.allowed(doc)})", f"# {name} = {value}"]


def _limits_at_start(file: config.ConfigFile, environ: Mapping[str, str]) -> list[SettingRow]:
    values, origins = limits.resolve(file.section("limits"), environ, {}, file.path)
    found = []
    for name, value in values._asdict().items():
        where = _where(file, ("limits", name), origins[name], limits.variable_of(name, environ))
        found.append(SettingRow(name, value, limits.DOCS[name].unit, origins[name], where, limits.DOCS[name].text))
    return found


def _http(file: config.ConfigFile, environ: Mapping[str, str]) -> list[SettingRow]:
    section = file.section("http")
    front, _ = http_limits.front(environ, section)
    values: dict[str, Any] = {**front, **http_limits.resolve(environ, section)._asdict()}
    found = []
    for name, doc in config.SECTIONS["http"].items():
        variable = http_limits.variable_of(name, environ)
        origin = "environment" if variable else "config" if name in section else "default"
        where = _where(file, ("http", name), origin, variable)
        found.append(SettingRow(f"http.{name}", values[name], doc.unit, origin, where, doc.text))
    return found


def _hooks(file: config.ConfigFile, environ: Mapping[str, str]) -> list[SettingRow]:
    doc, variable = config.SECTIONS["hooks"][config.WAKE], config.WAKE_VARIABLE
    value = config.wake_setting(environ, file)
    origin = "default" if value is None else "environment" if environ.get(variable) else "config"
    where = _where(file, ("hooks", config.WAKE), origin, variable)
    return [SettingRow(f"hooks.{config.WAKE}", value or config.WAKE_DEFAULT, doc.unit, origin, where, doc.text)]


def _projects(file: config.ConfigFile) -> list[SettingRow]:
    return [
        SettingRow(
            f"projects.{project}.{name}",
            value,
            config.PROJECT_DOCS[name].unit,
            "config",
            file.where("projects", project, name),
            config.PROJECT_DOCS[name].text,
        )
        for project, own in file.of_projects().items()
        for name, value in own.items()
    ]


def _shell(context: CommandContext) -> list[SettingRow]:
    values = (context.data, paths.runtime_dir(context.data, context.environ), int(context.autostart))
    found = []
    for (name, variable, what), value in zip(_SHELL, values, strict=True):
        is_set = bool(context.environ.get(variable))
        unit = "switch" if name == "autostart" else "text"
        origin = "environment" if is_set else "default"
        found.append(SettingRow(name, value, unit, origin, variable if is_set else None, what))
    return found


def _where(file: config.ConfigFile, key: tuple[str, ...], origin: str, variable: str | None) -> str | None:
    if origin == "config":
        return file.where(*key)
    return variable if origin == "environment" else None
