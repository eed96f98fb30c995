"""Upkeep printed: the objects that commands print with `--json` about the broker, the installation and the files.

Rule: as `mail_printed`.
"""

# No `from __future__ import annotations`: TypedDict would not see which fields are NotRequired.
from typing import Any, NotRequired, TypedDict

from maestro_schemas.documents import ErrorDoc, SweptDoc

# --- the broker --------------------------------------------------------------------------------------------


class StartedBroker(TypedDict):
    """What `up` found or started."""

    # False: it ran already.
    started: bool
    pid: int
    version: str
    dataDir: str
    # The gateway's URL; absent without a gateway.
    http: NotRequired[str]


class StoppedBroker(TypedDict):
    """What `down` has stopped."""

    stopped: bool
    pid: NotRequired[int]


class LimitShown(TypedDict):
    """One limit in `status`."""

    value: Any
    unit: str
    what: str


class BrokerStatus(TypedDict):
    """The broker's state: PROTOCOL.md, `stats`, describes each field. A newer broker may print more."""

    version: str
    protocol: int
    pid: int
    epoch: str
    dataDir: str
    runtimeDir: str
    # When it was started, ms.
    startedAt: int
    uptimeMs: int
    headLsn: int
    filedLsn: int
    checkpointLsn: int
    filingBacklog: int
    filingBacklogBytes: int
    # Status -> how many.
    sessions: dict[str, int]
    mailboxes: dict[str, Any]
    watchers: int
    presence: dict[str, Any]
    wakes: dict[str, Any]
    index: dict[str, Any]
    # Counts since the broker's start.
    messages: dict[str, int]
    # Code -> refusals.
    refusedByCode: dict[str, int]
    commit: dict[str, Any]
    sweep: dict[str, Any]
    outbox: dict[str, int]
    connections: dict[str, int]
    refused: dict[str, int]
    attachments: dict[str, int]
    disk: dict[str, Any]
    limits: dict[str, LimitShown]
    config: dict[str, Any]
    warnings: list[Any]
    # With `up --tcp` only.
    tcp: NotRequired[dict[str, Any]]


class PageAddress(TypedDict):
    """The page's address."""

    url: str
    # Whether a browser was opened.
    opened: bool
    # `full`, or `view` with --view-only.
    rights: str
    # Whether the address has a code that works once.
    login: bool


class FindingShown(TypedDict):
    """What one check of the doctor found."""

    name: str
    # `ok`, `warning`, `failed`.
    state: str
    what: str
    # The next step; empty where there is none.
    repair: str


class DoctorReport(TypedDict):
    """The doctor's report."""

    # The worst of the findings.
    state: str
    findings: list[FindingShown]
    # With --fix: what was repaired; with --dry-run, what would be.
    repairs: NotRequired[list[FindingShown]]


class ConfigPath(TypedDict):
    """The config file."""

    path: str
    exists: bool


class WrittenFile(TypedDict):
    """A file that was written."""

    path: str


class SettingShown(TypedDict):
    """One setting."""

    value: Any
    unit: str
    # `default`, `config`, `environment` or `flag`.
    origin: str
    # The line of the config file, or the variable.
    where: str | None
    what: str


class SettingsShown(TypedDict):
    """The settings."""

    # The config file.
    path: str
    # The broker that has them in force.
    pid: int | None
    # Whether the file has changed since that broker read it.
    changed: bool
    settings: dict[str, SettingShown]


class InstalledUnits(TypedDict):
    """The units of the service."""

    # Path -> text.
    units: dict[str, str]
    # False with --print.
    written: bool
    started: bool
    # The command that is left to the person.
    next: str | None


class RemovedUnits(TypedDict):
    """What was removed."""

    removed: list[str]


class UnitsState(TypedDict):
    """The service."""

    installed: bool
    # Unit -> its state in words.
    units: dict[str, str]
    # The pid of the broker.
    broker: int | None


# --- setup -------------------------------------------------------------------------------------------------


class AgentFound(TypedDict):
    """An agent of this machine."""

    agent: str
    # The command or the folder that it was found by; empty for one that was named.
    foundBy: str


class PlannedFile(TypedDict):
    """A file that a setup writes, or an uninstallation removes."""

    path: str
    about: str


class StepPrinted(TypedDict):
    """What became of one step of a setup."""

    name: str
    # `done`, `unchanged`, `warning` or `failed`.
    state: str
    what: str
    # The next step; empty where none is needed.
    repair: str


class SetupShown(TypedDict):
    """What a setup has done."""

    # `ok`, or `failed` where a step has.
    state: str
    # Whether there was something to write.
    changed: bool
    dryRun: bool
    agents: list[AgentFound]
    files: list[PlannedFile]
    steps: list[StepPrinted]
    # What the doctor finds wrong; absent with --dry-run.
    findings: NotRequired[list[FindingShown]]


class LeftShown(TypedDict):
    """Something that an uninstallation leaves."""

    path: str
    why: str


class UninstallShown(TypedDict):
    """What an uninstallation has taken out."""

    # `ok`, or `failed` where a part has.
    state: str
    # Whether there was something to remove.
    changed: bool
    dryRun: bool
    removed: list[PlannedFile]
    left: list[LeftShown]
    # What failed.
    errors: list[ErrorDoc]
    # The command that removes the program itself.
    last: str


# --- hooks and the rest ------------------------------------------------------------------------------------


class ChangedFile(TypedDict):
    """A file of an agent's settings."""

    path: str
    changed: bool


class InstalledHooks(TypedDict):
    """The hooks of an agent."""

    agent: str
    # `user` or `project`.
    scope: str
    # The file of settings.
    path: str
    changed: bool
    dryRun: bool
    # The events that the hooks are for.
    events: list[str]
    # Whether mail wakes the agent from idle.
    wakes: bool
    script: str
    # A copy of the file as it was before.
    backup: str | None
    # What turns the agent's hooks off, in words.
    turnedOff: list[str]
    # With --mcp.
    mcp: NotRequired[ChangedFile]


class RemovedHooks(TypedDict):
    """What was removed."""

    agent: str
    scope: str
    path: str
    changed: bool
    dryRun: bool


class McpShown(TypedDict):
    """The MCP server in an agent's settings."""

    path: str
    installed: bool
    server: dict[str, Any]


class HooksShown(TypedDict):
    """What an installation writes."""

    agent: str
    path: NotRequired[str]
    installed: NotRequired[bool]
    # Event -> entries.
    hooks: NotRequired[dict[str, Any]]
    mcp: NotRequired[McpShown]
    # Of `prompt-display` only.
    script: NotRequired[str]


class TemplateListed(TypedDict):
    """A template."""

    name: str
    # `shipped`, `user` or `project`.
    source: str
    path: str | None
    places: list[str]
    title: str


class TemplateShown(TypedDict):
    """A template with its text."""

    name: str
    path: str | None
    source: str
    fields: dict[str, str]
    text: str
    places: list[str]


class IndexShown(TypedDict):
    """The search index."""

    bytes: int
    running: bool
    starts: int
    # The number of the newest record.
    head: int
    # The number of the newest record that is in it; from the first search on.
    upTo: NotRequired[int]
    messages: NotRequired[int]
    fullText: NotRequired[bool]
    rebuilding: NotRequired[bool]


class RebuiltIndex(TypedDict):
    """An index that was made again."""

    upTo: int
    head: int
    tookMs: int


class Pruned(TypedDict):
    """A round of the sweep."""

    round: int
    done: bool
    dryRun: bool
    startedAt: int
    tookMs: int
    # Files.
    lookedAt: int
    # Project (empty: none) -> what was removed.
    swept: dict[str, SweptDoc]
    # Project (empty: none) -> how long its mail is kept.
    retention: dict[str, dict[str, int]]


class CheckShown(TypedDict):
    """One check of the files."""

    name: str
    looked: int
    wrong: int
    skipped: bool


class Verified(TypedDict):
    """The report of `spool verify`."""

    ok: bool
    # Whether a broker served meanwhile; some checks are skipped then.
    served: bool
    # Records whose files are not written yet.
    unfiled: int
    checks: list[CheckShown]
    findings: list[dict[str, Any]]


class KeyShown(TypedDict):
    """A key of another machine."""

    name: str
    publicKey: str
    speaksFor: str
    createdAt: int
    revokedAt: NotRequired[int]


class Keys(TypedDict):
    """The keys."""

    keys: list[KeyShown]


class MadeKey(TypedDict):
    """A key that was made."""

    name: str
    # The file of its secret.
    file: str
    speaksFor: str


class RevokedKey(TypedDict):
    """A key that was revoked."""

    name: str
    revokedAt: int
