"""Options: what one broker was started with.

Rule: resolved once, at the start, from config file, environment and flags, in rising order; below here nobody
reads an environment or a config file.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas import limits, paths
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_schemas.limits import Limits


class Options(NamedTuple):
    """`ready_fd`: a pipe that is told `ready` or the error. `foreground`: a person watches standard error."""

    data: str
    runtime: str
    limits: Limits
    origins: dict[str, str]
    ready_fd: int | None = None
    foreground: bool = False
    # Project -> ms; what is not named here has Limits.retention_ms.
    retention_by_project: Mapping[str, int] = {}


def resolve(
    data: str | None,
    settings: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    ready_fd: int | None = None,
    foreground: bool = False,
) -> Options:
    """Raises MaestroError BAD_SETTING (also for a config file that can't be read) or PATH_TOO_LONG."""
    directory = os.path.abspath(data) if data is not None else paths.data_dir(environ)
    config_path = paths.config_file(environ)
    chosen, origins = limits.resolve(_config(config_path), environ, settings, config_path)
    return Options(directory, paths.runtime_dir(directory, environ), chosen, origins, ready_fd, foreground)


def _config(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MaestroError(
            "BAD_SETTING", f"the config file {path} can't be read: {error}", "Mend it, or move it away."
        ) from None
    section = table.get("limits", {})
    unknown = sorted(set(table) - {"limits"})
    if unknown or not isinstance(section, dict):
        raise MaestroError(
            "BAD_SETTING",
            f"the config file {path} has {', '.join(unknown) or 'no table'} where only [limits] is known",
            "Put settings under [limits], as in: rate_limit = 600",
        )
    return section
