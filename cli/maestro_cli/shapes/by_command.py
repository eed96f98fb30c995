"""Shapes by command: what each command prints with `--json`.

Rule: every command has its row here, or its reason in `WITHOUT_JSON`. A test runs each against a real broker and
compares what it prints.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from maestro_schemas.documents import (
    AnalyticsDoc,
    EventDoc,
    GroupDeletedDoc,
    GroupDoc,
    MessageDoc,
    SessionDoc,
    SessionPresenceDoc,
    ThreadsDoc,
)

from . import mail_printed, upkeep_printed

Form: TypeAlias = Literal["object", "array", "lines"]


class Printed(NamedTuple):
    """One object, an array of objects, or an object a line for as long as the command goes on."""

    shape: Any
    form: Form = "object"


_SENT = Printed(mail_printed.SentShown)
_MAIL = Printed(mail_printed.Mail)
_SESSION = Printed(SessionDoc)
_LOG = Printed(mail_printed.LoggedMessage, "lines")
_RESULTS = Printed(mail_printed.ItemResults)
_GROUP_CHANGE = Printed(mail_printed.GroupChange)

# A command's words, and the option that makes it print something else.
SHAPES: dict[str, Printed] = {
    "up": Printed(upkeep_printed.StartedBroker),
    "down": Printed(upkeep_printed.StoppedBroker),
    "setup": Printed(upkeep_printed.SetupShown),
    "uninstall": Printed(upkeep_printed.UninstallShown),
    "status": Printed(upkeep_printed.BrokerStatus),
    "ui": Printed(upkeep_printed.PageAddress),
    "send": _SENT,
    "reply": _SENT,
    "read": Printed(mail_printed.ReadMail),
    "send --dry-run": Printed(mail_printed.PreviewedSend),
    "inbox": _MAIL,
    "inbox --all": Printed(mail_printed.LoggedMail),
    "inbox --sent": Printed(mail_printed.LoggedMail),
    "inbox --wait": Printed(mail_printed.WaitingMail),
    "inbox --watch": Printed(MessageDoc, "lines"),
    "who": Printed(SessionPresenceDoc, "array"),
    "who --watch": Printed(SessionPresenceDoc, "lines"),
    "wake": Printed(mail_printed.WakeShown, "array"),
    "wake --off": Printed(mail_printed.WakeShown),
    "wake --on": Printed(mail_printed.WakeShown),
    "wake --test": Printed(mail_printed.WakeTried),
    "log": _LOG,
    "timeline": Printed(EventDoc, "lines"),
    "outbox": Printed(mail_printed.Outbox),
    "doctor": Printed(upkeep_printed.DoctorReport),
    "search": Printed(mail_printed.SearchFound),
    "threads": Printed(ThreadsDoc),
    "stats": Printed(AnalyticsDoc),
    "export": Printed(mail_printed.ExportedLine, "lines"),
    "export --out": Printed(mail_printed.WrittenExport),
    "whoami": _SESSION,
    "report": _SESSION,
    "session start": Printed(mail_printed.StartedSession),
    "session end": _SESSION,
    "session end --gone": Printed(SessionPresenceDoc, "array"),
    "session rename": _SESSION,
    "session nudge": _SESSION,
    "session show": _SESSION,
    "session list": Printed(mail_printed.ListedSession, "array"),
    "session send": _SENT,
    "session register": _SESSION,
    "session complete": _SESSION,
    "session needs-input": _SESSION,
    "session resume-working": _SESSION,
    "session prompt": _SENT,
    "session info": _SESSION,
    "session siblings": Printed(SessionDoc, "array"),
    "session watch": Printed(mail_printed.SessionEvent, "lines"),
    "session inbox": _MAIL,
    "session notify": Printed(mail_printed.SentShown, "lines"),
    "session mail": _MAIL,
    "message show": Printed(MessageDoc),
    "message reply": _SENT,
    "message thread": Printed(mail_printed.Conversation),
    "message receipt": Printed(mail_printed.ReceiptShown),
    "message dead": Printed(mail_printed.DeadLetters),
    "message retry": _SENT,
    "message read": _RESULTS,
    "message delete": _RESULTS,
    "attachment list": Printed(mail_printed.MessageFiles),
    "attachment save": Printed(mail_printed.SavedFiles),
    "group create": _GROUP_CHANGE,
    "group join": _GROUP_CHANGE,
    "group leave": _GROUP_CHANGE,
    "group add": _GROUP_CHANGE,
    "group remove": _GROUP_CHANGE,
    "group list": Printed(GroupDoc, "array"),
    "group show": Printed(GroupDoc),
    "group log": _LOG,
    "group delete": Printed(GroupDeletedDoc),
    "mail send": _SENT,
    "mail inbox": _MAIL,
    "mail reply": _SENT,
    "mail broadcast": _SENT,
    "mail wait": Printed(MessageDoc),
    "hooks install": Printed(upkeep_printed.InstalledHooks),
    "hooks uninstall": Printed(upkeep_printed.RemovedHooks),
    "hooks show": Printed(upkeep_printed.HooksShown),
    "template list": Printed(upkeep_printed.TemplateListed, "array"),
    "template show": Printed(upkeep_printed.TemplateShown),
    "index status": Printed(upkeep_printed.IndexShown),
    "index rebuild": Printed(upkeep_printed.RebuiltIndex),
    "config show": Printed(upkeep_printed.SettingsShown),
    "config path": Printed(upkeep_printed.ConfigPath),
    "config init": Printed(upkeep_printed.WrittenFile),
    "service install": Printed(upkeep_printed.InstalledUnits),
    "service uninstall": Printed(upkeep_printed.RemovedUnits),
    "service status": Printed(upkeep_printed.UnitsState),
    "spool prune": Printed(upkeep_printed.Pruned),
    "spool verify": Printed(upkeep_printed.Verified),
    "spool export": Printed(mail_printed.SpoolLine, "lines"),
    "spool export --out": Printed(mail_printed.WrittenSpool),
    "keys new": Printed(upkeep_printed.MadeKey),
    "keys list": Printed(upkeep_printed.Keys),
    "keys revoke": Printed(upkeep_printed.RevokedKey),
}
WITHOUT_JSON = {
    "completion": "its result is a script for the shell",
    "mcp": "it speaks MCP, which is JSON already",
    "demo": "it is a story for a person",
    "hooks run": "it speaks the agent's own protocol, which is JSON already",
}
