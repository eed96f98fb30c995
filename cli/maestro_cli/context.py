"""Context: the shell that a command runs in, and the broker that it belongs to.

Rule: the environment is read here and nowhere else in the command line. A command opens one connection, with one of
`client`, `open_client` and `full_client`, and passes it to the functions that it calls. The directories come from
`paths`, which resolves them by hand because every command needs them; code that is not on the fast path asks
`directories`, which is platformdirs.
"""

from __future__ import annotations

import os

from maestro_runtime import paths
from maestro_schemas.errors import START_A_SESSION, MaestroError
from maestro_schemas.names import OPERATOR

from . import fast_path

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_clients.channel.one_shot import OneShotConnection
    from maestro_clients.client import Client
    from maestro_clients.one_shot_client import AnyClient, OneShotClient
    from maestro_clients.processes.broker_process import Endpoints
    from maestro_clients.protocol.callers import Caller
    from maestro_clients.protocol.speaker import Speaker
    from maestro_schemas.documents import MessageDoc

# As `session_link`, which only a command in an agent's shell imports.
_LINK_VARIABLE = "MAESTRO_SESSION_LINK"
_AGENT_VARIABLES = (
    "CLAUDE_CODE_SESSION_ID",
    "CODEX_SESSION_ID",
    "GEMINI_SESSION_ID",
    "QWEN_CODE_SESSION_ID",
    "OPENCODE_SESSION_ID",
)
# As `maestro_clients.protocol.callers`, whose import costs `typing`.
_SESSION_VARIABLE = "MAESTRO_SESSION_ID"
_TOKEN_VARIABLE = "MAESTRO_SESSION_TOKEN"  # noqa: S105 - the name of a variable, not a token
# What agents set in the shells of their tools. Codex sets several that begin with CODEX_ (its sandbox, its thread).
_AGENT_SIGNS = frozenset(
    {
        *_AGENT_VARIABLES,
        _LINK_VARIABLE,
        "AI_AGENT",
        "ANTIGRAVITY_AGENT",
        "AUGMENT_AGENT",
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CURSOR_AGENT",
        "GEMINI_CLI",
        "OPENCODE",
        "OPENCODE_CLIENT",
    }
)
# What people set for Codex.
_SETTINGS = frozenset({"CODEX_HOME", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN", "CODEX_GITHUB_PERSONAL_ACCESS_TOKEN"})


class CommandContext:
    """The environment of one command; `CommandContext.here()` is this process's."""

    def __init__(self, environ: Mapping[str, str], data: str, session: str | None, token: str | None) -> None:
        self.environ = environ
        # The data directory.
        self.data = data
        # The session that speaks; None: the operator, who only reads; `operator`: who also sends and has a mailbox.
        self.own_session = session
        self.own_token = token

    @classmethod
    def here(cls, speaks_as: str | None = None, *, sure: bool = False, linked: bool = True) -> CommandContext:
        """This process's context; an empty variable counts as absent.

        `speaks_as`, `sure`: the options --as and --yes. `linked`: an agent's shell without our variables finds its
        session by the link of its hooks. Raises MaestroError NO_SESSION where MAESTRO_SESSION_LINK names no link,
        and where MAESTRO_SESSION_ID is `operator`; for --as INVALID, and FORBIDDEN in an agent's shell.
        """
        environ = os.environ
        session, token = environ.get(_SESSION_VARIABLE), environ.get(_TOKEN_VARIABLE)
        data = paths.data_dir(environ)
        if speaks_as is not None:
            return cls(environ, data, None, None)._as_person(speaks_as, sure=sure)
        if session == OPERATOR:
            # A hook's agent then has no session of the shell: it must not get the operator's mail.
            session = token = None
            if linked:
                from maestro_clients.protocol.speaker import check_variable

                check_variable(OPERATOR)
        if linked and environ.get(_LINK_VARIABLE):
            from .hooks import session_link

            session, token = session_link.named(data, environ[_LINK_VARIABLE])
        elif linked and not session and any(name in environ for name in _AGENT_VARIABLES):
            from .hooks import session_link

            session, token = session_link.of_agent(data, environ) or (session, token)
        return cls(environ, data, session or None, token or None)

    def as_operator(self) -> CommandContext:
        """The same context without a session."""
        return CommandContext(self.environ, self.data, None, None)

    def at_mailbox(self, *, sure: bool) -> CommandContext:
        """The same context, for a command that means the caller's own mailbox: in a shell without a session that is
        the operator's. `sure`: the option --yes. Raises MaestroError NO_SESSION in an agent's shell."""
        if self.own_session:
            return self
        sign = self.agent_sign()
        if sign is not None and not sure:
            raise MaestroError(
                "NO_SESSION",
                f"this shell belongs to no session, and {sign} is set: an agent runs it, and the operator's mail is "
                "the person's",
                f"{START_A_SESSION} If you are the person: --yes.",
            )
        return CommandContext(self.environ, self.data, OPERATOR, None)

    def _as_person(self, speaks_as: str, *, sure: bool) -> CommandContext:
        if speaks_as != OPERATOR:
            raise MaestroError(
                "INVALID",
                f"--as takes the word `operator` alone, and got {speaks_as[:80]!r}",
                "A session speaks by its variables: MAESTRO_SESSION_ID=ID MAESTRO_SESSION_TOKEN=TOKEN maestro ...",
            )
        sign = self.agent_sign()
        if sign is not None and not sure:
            raise MaestroError(
                "FORBIDDEN",
                f"{sign} is set: an agent runs this shell, and an agent does not speak as the operator",
                f"An agent speaks as its own session. {START_A_SESSION} If you are the person: --yes.",
            )
        return CommandContext(self.environ, self.data, OPERATOR, None)

    @property
    def caller(self) -> Caller:
        """The session that speaks, as clients take it."""
        from maestro_clients.protocol.callers import Caller

        return Caller(self.own_session, self.own_token)

    @property
    def autostart(self) -> bool:
        """Whether a missing broker may be started (MAESTRO_AUTOSTART)."""
        from maestro_clients.processes.broker_process import may_autostart

        return may_autostart(self.environ)

    def agent_sign(self) -> str | None:
        """The variable that shows that an agent runs this shell; None in a person's own."""
        for name in self.environ:
            if self.environ[name] and (name in _AGENT_SIGNS or (name.startswith("CODEX_") and name not in _SETTINGS)):
                return name
        return None

    def check_person(self, what: str, command: str, *, sure: bool) -> None:
        """Raises MaestroError NO_SESSION in an agent's shell without a session, for a command that shows `what` of
        all. `sure`: the option --yes of `command`."""
        sign = None if self.own_session or sure else self.agent_sign()
        if sign is not None:
            raise MaestroError(
                "NO_SESSION",
                f"this shell belongs to no session, and {sign} is set: an agent runs it, and {what} of all is the "
                "person's",
                f"{START_A_SESSION} If you are the person: `maestro {command} --yes`.",
            )

    def session(self) -> str:
        """The caller's session id. Raises MaestroError NO_SESSION where the environment names none."""
        if not self.own_session:
            raise _no_session(START_A_SESSION)
        return self.own_session

    def sender(self) -> str:
        """As `session`, for a command that sends: a person may say who it is."""
        if not self.own_session and self.agent_sign() is None:
            raise _no_session(f"If you are the person, add `--as operator`. If not: {START_A_SESSION}")
        return self.session()

    @property
    def is_remote(self) -> bool:
        """Whether the broker is on another machine (MAESTRO_BROKER)."""
        return bool(self.environ.get(paths.BROKER_VARIABLE))

    def check_local(self, verb: str) -> None:
        """Raises MaestroError BAD_SETTING where the broker is on another machine and `verb` must be done on that."""
        if self.is_remote:
            raise MaestroError(
                "BAD_SETTING",
                f"MAESTRO_BROKER names a broker on another machine ({self.environ[paths.BROKER_VARIABLE]}), "
                f"and this command can't {verb} it from here",
                "Do it there; or unset MAESTRO_BROKER, for a broker of this machine.",
            )

    # --- the broker ----------------------------------------------------------------------------------------

    def client(self, connection: OneShotConnection | None = None) -> AnyClient:
        """An open connection that speaks for the caller; a missing broker is started. Raises as `ensure_broker`.

        `connection`: the one that the command has already, if any.
        """
        found = self.one_shot(connection)
        return self.full_client() if found is None else found

    def full_client(self) -> Client:
        """As `client`, for a command that waits for notices beside its requests."""
        from maestro_clients.processes.broker_process import connect

        return connect(self.data, self.environ, self.caller, autostart=self.autostart)

    def open_client(self) -> AnyClient | None:
        """As `client`, without starting a broker: None where none runs."""
        found = self.one_shot()
        return self.running_client() if found is None else found

    def running_client(self) -> Client | None:
        """As `full_client`, without starting a broker: None where none runs."""
        from maestro_clients.processes.broker_process import connect_if_running

        return connect_if_running(self.data, self.environ, self.caller)

    def one_shot(
        self, connection: OneShotConnection | None = None, *, timeout_s: float = 10.0
    ) -> OneShotClient | None:
        """A client of the fast path; None where that is off, or no broker of this machine listens.

        `connection`: as in `client`. `timeout_s`: for a request that the fast path could not answer.
        """
        connection = connection or self.one_shot_connection()
        if connection is None:
            return None
        from maestro_clients.one_shot_client import OneShotClient

        return OneShotClient(connection, self.speaker(), timeout_s=timeout_s)

    def one_shot_connection(self) -> OneShotConnection | None:
        """As `one_shot`, without a method for each command."""
        if self.is_remote or not fast_path.is_on(self.environ):
            return None
        from maestro_clients.channel import one_shot

        path = one_shot.router_path(self.data)
        if path is None:
            return None
        connection = one_shot.OneShotConnection(path)
        return connection if connection.open() else None

    def locate(self, messages: Sequence[MessageDoc], client: AnyClient | None) -> None:
        """Give the files of messages their paths on this machine, fetched where need be and a client is given."""
        if any("attachments" in message for message in messages):
            from maestro_clients.mailbox import received_files

            received_files.locate(messages, self.data, client)

    def speaker(self) -> Speaker:
        """The caller, as a request's `as`."""
        if self.own_session == OPERATOR:
            from maestro_clients.protocol.speaker import speaker

            return speaker(self.own_session, None)
        # As that function, whose module an ordinary command does not import.
        body = {"session": self.own_session, "token": self.own_token}
        return {name: value for name, value in body.items() if value is not None}

    def running(self) -> Endpoints | None:
        """The broker that serves the data directory now, without starting one."""
        found = self._endpoints()
        if found is None or found.pid or self.is_remote:
            return found
        # A service manager listens in the broker's place. The first request makes it start the broker, which then
        # writes its own endpoints.
        from maestro_clients.client import Client

        with Client(found.router, self.as_operator().caller) as client:
            client.hello()
        return self._endpoints()

    def ensure_broker(self) -> Endpoints:
        """The broker, started if need be. Raises MaestroError BROKER_UNREACHABLE where starting it is turned off,
        and the broker's own error if it could not start."""
        from maestro_clients.processes.broker_process import ensure

        return ensure(self.data, self.environ, autostart=self.autostart)

    def _endpoints(self) -> Endpoints | None:
        from maestro_clients.processes.broker_process import find

        return find(self.data, self.environ)


def _no_session(hint: str) -> MaestroError:
    return MaestroError("NO_SESSION", "this shell belongs to no session: MAESTRO_SESSION_ID is not set", hint)


def now_ms() -> int:
    """The wall clock, for ages and for the outbox's file names."""
    import time

    return time.time_ns() // 1_000_000
