"""Options: what one broker was started with.

Rule: they are resolved once, at the start, from config file, environment and flags, in rising precedence. No other
module of the broker reads an environment or a config file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import config, paths
from maestro_schemas import limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_broker.transport.socket_activation import Activation
    from maestro_schemas.limits import Limits

_NO_FILE = config.ConfigFile("")


class BrokerOptions(NamedTuple):
    """The options of one broker."""

    data: str
    runtime: str
    limits: Limits
    # For each limit: `default`, `config`, `environment` or `flag`.
    origins: dict[str, str]
    # A pipe that gets `ready` or the error.
    ready_fd: int | None = None
    # Whether a person watches standard error.
    foreground: bool = False
    # The line or variable that set a limit, where one did.
    places: Mapping[str, str] = {}
    # The config file as it was read.
    file: config.ConfigFile = _NO_FILE
    # Project -> its own settings; of what it does not set, `limits` has the value.
    projects: Mapping[str, Mapping[str, int]] = {}
    # HOST:PORT for other machines, or None.
    tcp: str | None = None
    activation: Activation | None = None


def resolve(
    data: str | None,
    settings: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    ready_fd: int | None = None,
    foreground: bool = False,
    tcp: str | None = None,
    activation: Activation | None = None,
) -> BrokerOptions:
    """Raises MaestroError BAD_SETTING (also for a config file that can't be read) or PATH_TOO_LONG."""
    directory = os.path.abspath(data) if data is not None else paths.data_dir(environ)
    file = config.read(environ)
    chosen, origins = limits.resolve(file.section("limits"), environ, settings, file.path)
    places = {name: file.where("limits", name) for name, origin in origins.items() if origin == "config"}
    for name, origin in origins.items():
        variable = limits.variable_of(name, environ) if origin == "environment" else None
        if variable is not None:
            places[name] = variable
    return BrokerOptions(
        directory,
        paths.runtime_dir(directory, environ),
        chosen,
        origins,
        ready_fd,
        foreground,
        places,
        file,
        file.of_projects(),
        tcp or environ.get("MAESTRO_TCP") or None,
        activation,
    )
