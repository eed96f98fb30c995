"""Tree: which commands there are.

Rule: a command is registered by import string and one line of help, so that running one imports that one. Its
options, details and examples are in its own module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App, Parameter

from maestro_schemas import __version__

from .exit_codes import MEANINGS
from .help_text import PlainHelp

if TYPE_CHECKING:
    from collections.abc import Sequence

SEND_HELP = "Send a message to another session; it is on disk before this says so."

ROOT_COMMANDS = (
    ("up", "up:up", "Start the broker, unless it runs already."),
    ("down", "down:down", "Stop the broker and wait until it is gone."),
    ("status", "status:status", "Show what the broker does, and every limit with where it came from."),
    ("send", "session.send:send", SEND_HELP + " The same as `session send`."),
    ("inbox", "inbox:inbox", "Show new messages and mark them delivered, or watch for them."),
    ("timeline", "timeline:timeline", "Show what happened, without any message text."),
    ("outbox", "outbox:outbox", "Show what waits for a broker to be sent."),
    ("doctor", "doctor:doctor", "Look whether everything is well, and say what to do where it is not."),
    ("completion", "completion:completion", "Print what makes a shell complete commands, sessions and messages."),
    ("demo", "demo:demo", "Show the whole post office at work, in a scratch directory."),
)
SESSION_COMMANDS = (
    ("start", "session.start:start", "Start a session: an address that can send and receive."),
    ("end", "session.end:end", "End a session; it no longer sends or receives."),
    ("show", "session.show:show", "Show one session."),
    ("list", "session.list:list_sessions", "List the sessions."),
    ("send", "session.send:send", SEND_HELP),
)
MESSAGE_COMMANDS = (
    ("show", "message.show:show", "Show one message and what became of it."),
    ("reply", "message.reply:reply", "Answer a message, to whoever sent it."),
    ("thread", "message.thread:thread", "Show the conversation that a message is in."),
    ("receipt", "message.receipt:receipt", "Show what became of a message: each step, when and by what."),
    ("dead", "message.dead:dead", "List what you sent that expired or was refused from the outbox."),
    ("retry", "message.retry:retry", "Send a dead message again."),
    ("read", "message.read:read", "Acknowledge messages; each sender is told."),
    ("delete", "message.delete:delete", "Delete messages from your inbox."),
)

HOOKS_COMMANDS = (
    ("install", "hooks.install:install", "Let an agent see its mail by itself, by its own hooks."),
    ("uninstall", "hooks.uninstall:uninstall", "Take the hooks out of an agent's settings."),
    ("show", "hooks.show:show", "Show what would be installed, and where."),
    ("run", "hooks.run:run_hook", "Answer an agent's hook; for agents."),
)

CONFIG_COMMANDS = (
    ("show", "config.show:show", "Show every setting, with its value and where it came from."),
    ("path", "config.path:path", "Print where the config file is looked for."),
    ("init", "config.init:init", "Write a config file of all settings, each commented out, if there is none."),
)
SERVICE_COMMANDS = (
    ("install", "service.install:install", "Let systemd (or launchd) run the post office for you."),
    ("uninstall", "service.uninstall:uninstall", "Take that back; mail and settings stay."),
    ("status", "service.status:status", "Show whether it is installed, and its state."),
)
SPOOL_COMMANDS = (
    ("prune", "spool.prune:prune", "Remove what is older than the retention, now."),
    ("verify", "spool.verify:verify", "Check that every file is what it should be."),
    ("export", "spool.export:export", "Write everything as JSON Lines."),
)

KEYS_COMMANDS = (
    ("new", "keys.new:new", "Make a key for another machine."),
    ("list", "keys.list:list_keys", "List the keys, and for whom each may speak."),
    ("revoke", "keys.revoke:revoke", "Let a key in no longer; what it does is cut off at once."),
)

_SESSION_ABOUT = "Start, end, show and list sessions, and send to one."
_SESSION_EXAMPLES = """\
Examples:
  eval "$(maestro session start --name alice --export)"
  maestro session list
  maestro session send --to bob --message "Review PR in task_456"
  maestro session end"""
_MESSAGE_ABOUT = "Show, answer, acknowledge, retry or delete a message."
_MESSAGE_EXAMPLES = """\
Examples:
  maestro message show msg_1770536761607_k3v9x2m1a
  maestro message reply msg_1770536761607_k3v9x2m1a --message "Done."
  maestro message read msg_1770536761607_k3v9x2m1a"""
_HOOKS_ABOUT = "Put mail into an agent's context as it works, by the agent's own hooks."
_HOOKS_EXAMPLES = """\
Examples:
  maestro hooks install claude-code
  maestro hooks show codex
  maestro hooks uninstall gemini-cli"""

_CONFIG_ABOUT = "Show the settings, and make a file for them."
_CONFIG_EXAMPLES = """\
Examples:
  maestro config init
  maestro config show
  maestro config show retention rate_limit --json"""
_SERVICE_ABOUT = "Have the post office run as a service of your user."
_SERVICE_EXAMPLES = """\
Examples:
  maestro service install --now
  maestro service install --print
  maestro service status"""
_SPOOL_ABOUT = "Look after the files: prune, verify, export."
_SPOOL_EXAMPLES = """\
Examples:
  maestro spool prune --dry-run
  maestro spool prune --older-than 3d
  maestro spool verify
  maestro spool export --out mail.jsonl"""

_KEYS_ABOUT = "Let other machines in, each with a key of its own (see `maestro up --tcp`)."
_KEYS_EXAMPLES = """\
Examples:
  maestro keys new laptop --out laptop.key
  maestro keys list
  maestro keys revoke laptop"""

_ABOUT = "Durable messages between coding agents' sessions on one machine."


def build() -> App:
    """The root command with all others below it."""
    exits = "\n".join(f"  {number}  {meaning}" for number, meaning in MEANINGS.items())
    root = App(
        name="maestro",
        help=_ABOUT,
        version=f"maestro {__version__}",
        help_formatter=PlainHelp(),
        help_format="plaintext",
        # A switch that can only be left off needs no `--no-` twin, and no "default: False" in its help.
        default_parameter=Parameter(negative="", show_default=False),
        suppress_keyboard_interrupt=False,
        verbose=False,
        help_epilogue=(
            "Examples:\n"
            '  eval "$(maestro session start --name alice --export)"\n'
            '  maestro session send --to bob --message "Review PR in task_456"\n'
            "  maestro inbox\n"
            "  maestro inbox --watch\n\n"
            "Environment:\n"
            "  MAESTRO_SESSION_ID, MAESTRO_SESSION_TOKEN  who you are\n"
            "  MAESTRO_DATA_DIR, MAESTRO_RUNTIME_DIR      where the files and the sockets are\n"
            "  MAESTRO_AUTOSTART=0                        never start a broker by yourself\n"
            "  MAESTRO_CONFIG                             the file of settings\n"
            "  MAESTRO_BROKER, MAESTRO_KEY_FILE           tcp://HOST:PORT, and the key to it\n\n"
            f"Exit codes:\n{exits}"
        ),
    )
    _register(root, ROOT_COMMANDS)
    _register(_family(root, "session", _SESSION_ABOUT, _SESSION_EXAMPLES), SESSION_COMMANDS)
    _register(_family(root, "message", _MESSAGE_ABOUT, _MESSAGE_EXAMPLES), MESSAGE_COMMANDS)
    _register(_family(root, "hooks", _HOOKS_ABOUT, _HOOKS_EXAMPLES), HOOKS_COMMANDS)
    _register(_family(root, "config", _CONFIG_ABOUT, _CONFIG_EXAMPLES), CONFIG_COMMANDS)
    _register(_family(root, "service", _SERVICE_ABOUT, _SERVICE_EXAMPLES), SERVICE_COMMANDS)
    _register(_family(root, "spool", _SPOOL_ABOUT, _SPOOL_EXAMPLES), SPOOL_COMMANDS)
    _register(_family(root, "keys", _KEYS_ABOUT, _KEYS_EXAMPLES), KEYS_COMMANDS)
    return root


def _family(root: App, name: str, about: str, examples: str) -> App:
    family = App(name=name, help=about, help_epilogue=f"`--help` after a command tells its options.\n\n{examples}")
    root.command(family)
    return family


def _register(app: App, commands: Sequence[tuple[str, str, str]]) -> None:
    for name, where, about in commands:
        app.command(f"maestro_cli.commands.{where}", name=name, help=about)
