"""Fast table: the arguments of every command, for the fast path.

Rule: generated from the declarations of the commands by `just schemas`; never edited.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # What a value is: `on` and `off` (switches), `text`, `any` (text that may begin with a hyphen), `number`, `list`
    # (may be repeated), or the words that are allowed.
    Kind = str | tuple[str, ...]
    # The module in `commands`; the positional arguments; the parameters that must be given; the options by spelling,
    # each with its parameter.
    Declared = tuple[str, tuple[tuple[str, Kind], ...], tuple[str, ...], dict[str, tuple[str, Kind]]]

# fmt: off
COMMANDS: dict[tuple[str, ...], Declared] = {
    ("up",): (
        "up",
        (),
        (),
        {
            "--foreground": ("foreground", "on"),
            "--set": ("settings", "list"),
            "--http": ("http", "on"),
            "--no-http": ("http", "off"),
            "--http-port": ("http_port", "number"),
            "--http-host": ("http_host", "text"),
            "--tcp": ("tcp", "text"),
            "--json": ("as_json", "on"),
        },
    ),
    ("down",): (
        "down",
        (),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("status",): (
        "status",
        (),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("send",): (
        "send",
        (),
        ("to",),
        {
            "--to": ("to", "list"),
            "-t": ("to", "list"),
            "--message": ("message", "any"),
            "-m": ("message", "any"),
            "--file": ("file", "any"),
            "-f": ("file", "any"),
            "--priority": ("priority", ("low", "medium", "high")),
            "--type": ("kind", ("request", "response", "notification", "command")),
            "--task": ("task", "text"),
            "--reply-to": ("reply_to", "text"),
            "--ttl": ("ttl", "text"),
            "--expires-at": ("expires_at", "text"),
            "--on-ended": ("on_ended", ("error", "queue", "redirect")),
            "--require-ack": ("require_ack", "on"),
            "--data": ("data", "any"),
            "--wait": ("wait", ("delivered", "read")),
            "--wait-reply": ("wait_reply", "on"),
            "--replies": ("replies", "number"),
            "--timeout": ("timeout", "text"),
            "--yes": ("yes", "on"),
            "--id": ("message_id", "text"),
            "--as": ("speaks_as", "text"),
            "--json": ("as_json", "on"),
        },
    ),
    ("inbox",): (
        "inbox",
        (),
        (),
        {
            "--mark-read": ("mark_read", "on"),
            "--clear": ("clear", "on"),
            "--quiet": ("quiet", "on"),
            "-q": ("quiet", "on"),
            "--watch": ("watch", "on"),
            "-w": ("watch", "on"),
            "--wait": ("wait", "on"),
            "--any": ("takes_all", "on"),
            "--all": ("every", "on"),
            "-a": ("every", "on"),
            "--sent": ("sent", "on"),
            "--unread": ("unread", "on"),
            "--limit": ("limit", "number"),
            "-n": ("limit", "number"),
            "--timeout": ("timeout", "text"),
            "--exec": ("command", "any"),
            "--exec-quiet": ("exec_quiet", "on"),
            "--session": ("session", "text"),
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("who",): (
        "who",
        (),
        (),
        {
            "--project": ("project", "text"),
            "--watch": ("watch", "on"),
            "-w": ("watch", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("wake",): (
        "wake",
        (("session_id", "text"),),
        (),
        {
            "--off": ("off", "on"),
            "--on": ("on", "on"),
            "--test": ("test", "on"),
            "--timeout": ("timeout", "text"),
            "--json": ("as_json", "on"),
        },
    ),
    ("log",): (
        "log",
        (("peer", "text"),),
        (),
        {
            "--follow": ("follow", "on"),
            "-f": ("follow", "on"),
            "--since": ("since", "text"),
            "--limit": ("limit", "number"),
            "-n": ("limit", "number"),
            "--session": ("session", "text"),
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("timeline",): (
        "timeline",
        (),
        (),
        {
            "--session": ("session", "text"),
            "--message": ("message", "text"),
            "--event": ("event", "list"),
            "--since": ("since", "text"),
            "--until": ("until", "text"),
            "--limit": ("limit", "number"),
            "--after": ("after", "number"),
            "--follow": ("follow", "on"),
            "-f": ("follow", "on"),
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("outbox",): (
        "outbox",
        (),
        (),
        {
            "--replay": ("replay", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("doctor",): (
        "doctor",
        (),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("completion",): (
        "completion",
        (("shell", ("bash", "zsh", "fish")),),
        ("shell",),
        {
            "--install": ("install", "on"),
            "--force": ("force", "on"),
        },
    ),
    ("mcp",): (
        "mcp",
        (),
        (),
        {
            "--data": ("data", "text"),
        },
    ),
    ("demo",): (
        "demo",
        (),
        (),
        {
            "--keep": ("keep", "on"),
        },
    ),
    ("session", "start"): (
        "session.start",
        (),
        (),
        {
            "--id": ("session_id", "text"),
            "--name": ("name", "text"),
            "--role": ("role", ("orchestrator", "worker")),
            "--project": ("project", "text"),
            "--parent": ("parent", "text"),
            "--task": ("task", "list"),
            "--agent": ("agent", "text"),
            "--wake": ("wake", ("idle", "off")),
            "--replace": ("replace", "on"),
            "--takeover": ("takeover", "on"),
            "--export": ("export", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("session", "end"): (
        "session.end",
        (("session_id", "text"),),
        (),
        {
            "--status": ("status", ("completed", "failed", "stopped")),
            "--json": ("as_json", "on"),
        },
    ),
    ("session", "rename"): (
        "session.rename",
        (("name", "text"),),
        ("name",),
        {
            "--id": ("session_id", "text"),
            "--replace": ("replace", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("session", "show"): (
        "session.show",
        (("session_id", "text"),),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("session", "list"): (
        "session.list",
        (),
        (),
        {
            "--project": ("project", "text"),
            "--all": ("every", "on"),
            "--limit": ("limit", "number"),
            "--json": ("as_json", "on"),
        },
    ),
    ("session", "send"): (
        "send",
        (),
        ("to",),
        {
            "--to": ("to", "list"),
            "-t": ("to", "list"),
            "--message": ("message", "any"),
            "-m": ("message", "any"),
            "--file": ("file", "any"),
            "-f": ("file", "any"),
            "--priority": ("priority", ("low", "medium", "high")),
            "--type": ("kind", ("request", "response", "notification", "command")),
            "--task": ("task", "text"),
            "--reply-to": ("reply_to", "text"),
            "--ttl": ("ttl", "text"),
            "--expires-at": ("expires_at", "text"),
            "--on-ended": ("on_ended", ("error", "queue", "redirect")),
            "--require-ack": ("require_ack", "on"),
            "--data": ("data", "any"),
            "--wait": ("wait", ("delivered", "read")),
            "--wait-reply": ("wait_reply", "on"),
            "--replies": ("replies", "number"),
            "--timeout": ("timeout", "text"),
            "--yes": ("yes", "on"),
            "--id": ("message_id", "text"),
            "--as": ("speaks_as", "text"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "show"): (
        "message.show",
        (("message_id", "text"),),
        ("message_id",),
        {
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "reply"): (
        "message.reply",
        (("message_id", "text"),),
        ("message_id",),
        {
            "--message": ("message", "any"),
            "-m": ("message", "any"),
            "--file": ("file", "any"),
            "-f": ("file", "any"),
            "--priority": ("priority", ("low", "medium", "high")),
            "--on-ended": ("on_ended", ("error", "queue", "redirect")),
            "--require-ack": ("require_ack", "on"),
            "--wait": ("wait", ("delivered", "read")),
            "--wait-reply": ("wait_reply", "on"),
            "--timeout": ("timeout", "text"),
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "thread"): (
        "message.thread",
        (("message_id", "text"),),
        ("message_id",),
        {
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "receipt"): (
        "message.receipt",
        (("message_id", "text"),),
        ("message_id",),
        {
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "dead"): (
        "message.dead",
        (),
        (),
        {
            "--session": ("session", "text"),
            "--limit": ("limit", "number"),
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "retry"): (
        "message.retry",
        (("message_id", "text"),),
        ("message_id",),
        {
            "--to": ("to", "text"),
            "-t": ("to", "text"),
            "--ttl": ("ttl", "text"),
            "--expires-at": ("expires_at", "text"),
            "--on-ended": ("on_ended", ("error", "queue", "redirect")),
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "read"): (
        "message.read",
        (("message_ids", "list"),),
        (),
        {
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("message", "delete"): (
        "message.delete",
        (("message_ids", "list"),),
        (),
        {
            "--as": ("speaks_as", "text"),
            "--yes": ("yes", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "create"): (
        "group.create",
        (("name", "text"), ("members", "list")),
        ("name",),
        {
            "--project": ("project", "text"),
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "join"): (
        "group.join",
        (("name", "text"),),
        ("name",),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "leave"): (
        "group.leave",
        (("name", "text"),),
        ("name",),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "add"): (
        "group.add",
        (("name", "text"), ("members", "list")),
        ("name",),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "remove"): (
        "group.remove",
        (("name", "text"), ("members", "list")),
        ("name",),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "list"): (
        "group.list",
        (),
        (),
        {
            "--project": ("project", "text"),
            "--members": ("members", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "show"): (
        "group.show",
        (("name", "text"),),
        ("name",),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "log"): (
        "group.log",
        (("name", "text"),),
        ("name",),
        {
            "--follow": ("follow", "on"),
            "-f": ("follow", "on"),
            "--since": ("since", "text"),
            "--limit": ("limit", "number"),
            "-n": ("limit", "number"),
            "--json": ("as_json", "on"),
        },
    ),
    ("group", "delete"): (
        "group.delete",
        (("name", "text"),),
        ("name",),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("hooks", "install"): (
        "hooks.install",
        (("agent", ("claude-code", "codex", "gemini-cli")),),
        ("agent",),
        {
            "--scope": ("scope", ("user", "project")),
            "--mcp": ("mcp", "on"),
            "--wake": ("wake", "on"),
            "--no-wake": ("wake", "off"),
            "--dry-run": ("dry_run", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("hooks", "uninstall"): (
        "hooks.uninstall",
        (("agent", ("claude-code", "codex", "gemini-cli")),),
        ("agent",),
        {
            "--scope": ("scope", ("user", "project")),
            "--dry-run": ("dry_run", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("hooks", "show"): (
        "hooks.show",
        (("agent", ("claude-code", "codex", "gemini-cli", "prompt-display")),),
        ("agent",),
        {
            "--scope": ("scope", ("user", "project")),
            "--mcp": ("mcp", "on"),
            "--json": ("as_json", "on"),
        },
    ),
    ("config", "show"): (
        "config.show",
        (("names", "list"),),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("config", "path"): (
        "config.path",
        (),
        (),
        {
        },
    ),
    ("config", "init"): (
        "config.init",
        (),
        (),
        {
        },
    ),
    ("service", "install"): (
        "service.install",
        (),
        (),
        {
            "--now": ("now", "on"),
            "--print": ("print_only", "on"),
            "--http": ("http", "on"),
            "--no-http": ("http", "off"),
            "--force": ("force", "on"),
        },
    ),
    ("service", "uninstall"): (
        "service.uninstall",
        (),
        (),
        {
            "--force": ("force", "on"),
        },
    ),
    ("service", "status"): (
        "service.status",
        (),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("spool", "prune"): (
        "spool.prune",
        (),
        (),
        {
            "--dry-run": ("dry_run", "on"),
            "--older-than": ("older_than", "text"),
            "--json": ("as_json", "on"),
        },
    ),
    ("spool", "verify"): (
        "spool.verify",
        (),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("spool", "export"): (
        "spool.export",
        (),
        (),
        {
            "--out": ("out", "text"),
            "--session": ("session", "text"),
        },
    ),
    ("keys", "new"): (
        "keys.new",
        (("name", "text"),),
        ("name",),
        {
            "--session": ("session", "list"),
            "--project": ("project", "text"),
            "--any": ("any_session", "on"),
            "--orchestrator": ("orchestrator", "on"),
            "--operator": ("operator", "on"),
            "--out": ("out", "text"),
            "--json": ("as_json", "on"),
        },
    ),
    ("keys", "list"): (
        "keys.list",
        (),
        (),
        {
            "--json": ("as_json", "on"),
        },
    ),
    ("keys", "revoke"): (
        "keys.revoke",
        (("name", "text"),),
        ("name",),
        {
            "--json": ("as_json", "on"),
        },
    ),
}
