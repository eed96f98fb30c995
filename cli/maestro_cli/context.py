"""Context: from whose shell a command is run, and to which post office it belongs.

Rule: the environment is read here and nowhere else in the command line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.protocol.callers import Caller
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_clients.client import Client
    from maestro_clients.processes.broker_process import Endpoints

START_A_SESSION = 'Start one in this shell: eval "$(maestro session start --export)"'


class CommandContext(NamedTuple):
    """`data`: the data directory. `caller`: the session that speaks. `autostart`: whether a missing broker may
    be started (MAESTRO_AUTOSTART)."""

    environ: Mapping[str, str]
    data: str
    caller: Caller
    autostart: bool

    @classmethod
    def here(cls) -> CommandContext:
        """This process's context."""
        from maestro_clients.processes.broker_process import may_autostart

        environ = os.environ
        return cls(environ, paths.data_dir(environ), Caller.from_environ(environ), may_autostart(environ))

    def session(self) -> str:
        """The caller's session id. Raises MaestroError NO_SESSION where the environment names none."""
        if not self.caller.session:
            raise MaestroError(
                "NO_SESSION", "this shell belongs to no session: MAESTRO_SESSION_ID is not set", START_A_SESSION
            )
        return self.caller.session

    def running(self) -> Endpoints | None:
        """The broker that serves the data directory now, without starting one."""
        from maestro_clients.processes.broker_process import find

        found = find(self.data, self.environ)
        if found is None or found.pid or self.is_far:
            return found
        # A service manager listens in its place: whoever asks wakes it, and then it says who it is.
        from maestro_clients.client import Client

        with Client(found.router, self.as_operator().caller) as client:
            client.hello()
        return find(self.data, self.environ)

    @property
    def is_far(self) -> bool:
        """Whether the broker is on another machine (MAESTRO_BROKER)."""
        return bool(self.environ.get(paths.BROKER_VARIABLE))

    def check_near(self, deed: str) -> None:
        """Raises MaestroError BAD_SETTING where the broker is on another machine, for what is done on its own."""
        if self.is_far:
            raise MaestroError(
                "BAD_SETTING",
                f"MAESTRO_BROKER names a broker on another machine ({self.environ[paths.BROKER_VARIABLE]}), "
                f"and this can't {deed} it from here",
                "Do it there; or unset MAESTRO_BROKER, for a broker of this machine.",
            )

    def ensure_broker(self) -> Endpoints:
        """The broker, started if need be. Raises MaestroError BROKER_UNREACHABLE where that is turned off, and
        what the broker said when it could not start."""
        from maestro_clients.processes.broker_process import ensure

        return ensure(self.data, self.environ, autostart=self.autostart)

    def client(self, *, timeout_s: float = 10.0) -> Client:
        """An open connection that speaks for the caller. Raises as `ensure_broker`."""
        from maestro_clients.client import Client

        return Client(self.ensure_broker().router, self.caller, timeout_s=timeout_s)

    def as_operator(self) -> CommandContext:
        """The same context, with nobody's session speaking."""
        return self._replace(caller=Caller())


def now_ms() -> int:
    """The wall clock, for ages and for the outbox's file names."""
    import time

    return time.time_ns() // 1_000_000
