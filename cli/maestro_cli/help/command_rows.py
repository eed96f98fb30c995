"""Command rows: every command, with its one line of help.

Rule: a row is data, and imports nothing: the help of all commands is made from it without a parser.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class CommandRow:
    """One command."""

    def __init__(self, name: str, module: str, about: str, same_as: str = "") -> None:
        self.name = name
        # Its module in `commands`.
        self.module = module
        # The line of help.
        self.about = about
        # The words of the command that this one is another name of.
        self.same_as = same_as


class CommandGroup:
    """The commands below one word."""

    def __init__(self, name: str, about: str, examples: str, commands: tuple[CommandRow, ...]) -> None:
        self.name = name
        self.about = about
        self.examples = examples
        self.commands = commands


SEND_HELP = "Send a message to another session; it is on disk when this command reports success."

REPLY_HELP = "Answer a message; the answer is sent to its sender."

ROOT_COMMANDS = (
    CommandRow("setup", "installing.setup", "Set everything up: the hooks of your agents, the command, the broker."),
    CommandRow("up", "up", "Start the broker, unless it runs already."),
    CommandRow("down", "down", "Stop the broker and wait until it has ended."),
    CommandRow("status", "status", "Show whether the broker is well; with --all also every limit with its source."),
    CommandRow("ui", "ui", "Open the page in a browser: sessions, mail and states as they change."),
    CommandRow("send", "send", SEND_HELP + " The same as `session send`."),
    CommandRow("reply", "message.reply", REPLY_HELP + " The same as `message reply`."),
    CommandRow("read", "message.read_whole", "Print a message whole, the newest without an id, and acknowledge it."),
    CommandRow("inbox", "inbox", "Show new messages and mark them delivered, or watch for them."),
    CommandRow("who", "who", "Show what each session does: who waits for a person, works, idles, or is gone."),
    CommandRow("wake", "wake", "Show which idle agents mail wakes; turn that off or on, or test it."),
    CommandRow("log", "log", "Show what was said, with the texts, or follow it; marks nothing."),
    CommandRow("timeline", "timeline", "Show what happened, without any message text."),
    CommandRow("outbox", "outbox", "Show the messages that wait for a broker."),
    CommandRow("doctor", "doctor", "Check the installation and suggest fixes."),
    CommandRow("search", "archive.search", "Find messages by words, people, times and more."),
    CommandRow("threads", "archive.threads", "List the conversations, the one with the newest message first."),
    CommandRow("stats", "archive.stats", "Show figures: how much was sent, and what became of it."),
    CommandRow("export", "archive.export", "Write conversations as Markdown, JSON Lines or one HTML page."),
    CommandRow(
        "uninstall", "installing.uninstall", "Take it all out again: hooks, links, units; with --data the mail, too."
    ),
    CommandRow("completion", "installing.completion", "Print a shell completion script."),
    CommandRow("mcp", "mcp", "Serve an agent's MCP client over standard input and output."),
    CommandRow("demo", "demo", "Show the whole system at work, in a scratch directory."),
    CommandRow("whoami", "compatible.whoami", "Compatible name: say which session speaks in this shell."),
    CommandRow("report", "compatible.report", "Compatible name: report progress, a block, an error or the end."),
)
# Names of Maestro's own client, which its agents' prompts and hooks use.
_COMPATIBLE = (
    CommandRow("register", "compatible.register", "Compatible name: start this shell's session, by its variables."),
    CommandRow("complete", "session.end", "Compatible name of `session end`.", "session end"),
    CommandRow("needs-input", "compatible.needs_input", "Compatible name: say that the session waits for a person."),
    CommandRow("resume-working", "compatible.resume_working", "Compatible name: say that the session works again."),
    CommandRow("prompt", "compatible.prompt", "Compatible name: send a session its next instruction."),
    CommandRow("info", "session.show", "Compatible name of `session show`.", "session show"),
    CommandRow("siblings", "compatible.siblings", "Compatible name: list the other sessions of this one's parent."),
    CommandRow("watch", "compatible.watch", "Compatible name: follow sessions until each of them has ended."),
    CommandRow("inbox", "inbox", "Compatible name of `inbox`.", "inbox"),
    CommandRow("notify", "compatible.notify", "Compatible name: send a short and a long text to sessions."),
    CommandRow("mail", "compatible.mail_read", "Compatible name: `read` shows the unread mail and acknowledges it."),
)
GROUPS = (
    CommandGroup(
        "session",
        "Start, end, rename, show and list sessions, and send to one.",
        """\
Examples:
  eval "$(maestro session start --name alice --export)"
  maestro session list
  maestro send bob "Review PR in task_456"
  maestro session end""",
        (
            CommandRow("start", "session.start", "Start a session: an address that can send and receive."),
            CommandRow("end", "session.end", "End a session; it no longer sends or receives."),
            CommandRow("rename", "session.rename", "Give a session another name."),
            CommandRow("nudge", "session.nudge", "Let mail wake an idle agent by keys in its terminal, or not."),
            CommandRow("show", "session.show", "Show one session."),
            CommandRow("list", "session.list", "List the sessions."),
            CommandRow("send", "send", SEND_HELP, "send"),
            *_COMPATIBLE,
        ),
    ),
    CommandGroup(
        "message",
        "Show, answer, acknowledge, retry or delete a message.",
        """\
Examples:
  maestro message show k3v9
  maestro message reply k3v9 "Done."
  maestro message read k3v9""",
        (
            CommandRow("show", "message.show", "Show one message and its status."),
            CommandRow("reply", "message.reply", REPLY_HELP, "reply"),
            CommandRow("thread", "message.thread", "Show the conversation that a message is in."),
            CommandRow("receipt", "message.receipt", "Show each step of a message's delivery, when and by what."),
            CommandRow("dead", "message.dead", "List your messages that expired or were refused from the outbox."),
            CommandRow("retry", "message.retry", "Send a dead message again."),
            CommandRow("read", "message.read", "Acknowledge messages; each sender is notified."),
            CommandRow("delete", "message.delete", "Delete messages from your inbox."),
        ),
    ),
    CommandGroup(
        "attachment",
        "List or save the files of a message.",
        """\
Examples:
  maestro attachment list k3v9
  maestro attachment save k3v9 cart.patch --to /tmp""",
        (
            CommandRow("list", "attachment.list", "List the files of a message, with their paths."),
            CommandRow("save", "attachment.save", "Write the files of a message into a directory."),
        ),
    ),
    CommandGroup(
        "group",
        "Groups: addresses of several sessions, as in `send --to @NAME`.",
        """\
Examples:
  maestro group create reviews bob carol
  maestro group join reviews
  maestro send @reviews "The branch is ready."
  maestro group list --members""",
        (
            CommandRow("create", "group.create", "Make a group."),
            CommandRow("join", "group.join", "Become a member of a group."),
            CommandRow("leave", "group.leave", "Be a member of a group no longer."),
            CommandRow("add", "group.add", "Make other sessions members of a group."),
            CommandRow("remove", "group.remove", "Take members out of a group."),
            CommandRow("list", "group.list", "List the groups."),
            CommandRow("show", "group.show", "Show one group with its members."),
            CommandRow("log", "group.log", "Show what was said in a group; the same as `log @NAME`."),
            CommandRow("delete", "group.delete", "Delete a group; its mail stays."),
        ),
    ),
    CommandGroup(
        "mail",
        "Compatible names: the mail of Maestro's own client, over the same messages.",
        """\
Examples:
  maestro mail send sess_1_abc --type query --subject "Which port?"
  maestro mail inbox
  maestro mail wait --timeout 60000""",
        (
            CommandRow("send", "mail.send", "Compatible name: send mail with a subject to sessions."),
            CommandRow("inbox", "mail.inbox", "Compatible name: show the mail that is not acknowledged yet."),
            CommandRow("reply", "message.reply", "Compatible name of `message reply`.", "reply"),
            CommandRow("broadcast", "mail.broadcast", "Compatible name: send mail to many sessions."),
            CommandRow("wait", "mail.wait", "Compatible name: wait for one mail, and show it."),
        ),
    ),
    CommandGroup(
        "hooks",
        "Put mail into an agent's context while it works, through the agent's own hooks.",
        """\
Examples:
  maestro hooks install claude-code
  maestro hooks show codex
  maestro hooks uninstall gemini-cli""",
        (
            CommandRow("install", "hooks.install", "Install hooks that show an agent its mail."),
            CommandRow("uninstall", "hooks.uninstall", "Remove the hooks from an agent's settings."),
            CommandRow("show", "hooks.show", "Show the entries that `install` writes, and the file."),
            CommandRow("run", "hooks.run", "Answer an agent's hook; for agents."),
        ),
    ),
    CommandGroup(
        "template",
        "Templates: texts with places to fill in, for `send --template`.",
        """\
Examples:
  maestro template list
  maestro template show review
  maestro send --to bob --template review --set pr=123""",
        (
            CommandRow("list", "template.list", "List the templates, with the places of each."),
            CommandRow("show", "template.show", "Print one template."),
        ),
    ),
    CommandGroup(
        "index",
        "The search index, which is made from the mail and can be made again.",
        """\
Examples:
  maestro index status
  maestro index rebuild""",
        (
            CommandRow("status", "index.status", "Show whether the index is there, and how far it has read."),
            CommandRow("rebuild", "index.rebuild", "Make the index again from the mail."),
        ),
    ),
    CommandGroup(
        "config",
        "Show the settings, and make a file for them.",
        """\
Examples:
  maestro config init
  maestro config show
  maestro config show retention rate_limit --json""",
        (
            CommandRow("show", "config.show", "Show every setting with its value and its source."),
            CommandRow("path", "config.path", "Print the path of the config file."),
            CommandRow(
                "init", "config.init", "Write a config file of all settings, each commented out, if there is none."
            ),
        ),
    ),
    CommandGroup(
        "service",
        "Run the broker as a service of your user.",
        """\
Examples:
  maestro service install --now
  maestro service install --print
  maestro service status""",
        (
            CommandRow("install", "service.install", "Let systemd (or launchd) run the broker."),
            CommandRow("uninstall", "service.uninstall", "Remove the service; mail and settings stay."),
            CommandRow("status", "service.status", "Show whether the service is installed, and its state."),
        ),
    ),
    CommandGroup(
        "spool",
        "Maintain the files: prune, verify, export.",
        """\
Examples:
  maestro spool prune --dry-run
  maestro spool prune --older-than 3d
  maestro spool verify
  maestro spool export --out mail.jsonl""",
        (
            CommandRow("prune", "spool.prune", "Remove everything that is older than its retention, now."),
            CommandRow("verify", "spool.verify", "Check every file against the journal."),
            CommandRow("export", "spool.export", "Write everything as JSON Lines."),
        ),
    ),
    CommandGroup(
        "keys",
        "Admit other machines, each with a key of its own (see `maestro up --tcp`).",
        """\
Examples:
  maestro keys new laptop --out laptop.key
  maestro keys list
  maestro keys revoke laptop""",
        (
            CommandRow("new", "keys.new", "Make a key for another machine."),
            CommandRow("list", "keys.list", "List the keys, and the sessions that each may speak for."),
            CommandRow("revoke", "keys.revoke", "Revoke a key; its connections are closed."),
        ),
    ),
)

ABOUT = "Durable messages between coding agents' sessions on one machine."


def every_command() -> Iterator[tuple[tuple[str, ...], CommandRow]]:
    """Each command with the words that call it."""
    for row in ROOT_COMMANDS:
        yield (row.name,), row
    for group in GROUPS:
        for row in group.commands:
            yield (group.name, row.name), row
