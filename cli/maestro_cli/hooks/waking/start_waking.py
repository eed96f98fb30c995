"""Start waking: what an agent's start says about waking it from idle.

Rule: what can't wake is never promised. Only what a hook of this installation, on this machine, can do is reported to
the broker, and the agent reads why nothing can, if its user can change that.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from maestro_runtime import config, ownership, places, wake_facts
from maestro_runtime.process_identity import is_alive
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.waking import CLAUDE_CODE, CODEX, OPENCODE, QWEN_CODE, WAKE_FILE

from . import codex, keys, qwen_code

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_cli.hooks.agents import Agent
    from maestro_cli.hooks.payload import HookInput

OLD_BROKER: Final = (
    "Mail can't wake you from idle: the broker is of an earlier version. Your user can restart it: maestro down, "
    "then maestro up"
)


class StartWaking(NamedTuple):
    """What a start says."""

    # For the broker: `wake` and `wakeBy`; empty where it is not to change.
    fields: dict[str, str]
    # The file that the agent must watch; empty: none.
    watched: str = ""
    # What the agent's user must know.
    note: str = ""


def at_start(
    context: CommandContext, agent: Agent, session: str, hook_input: HookInput, pid: int, *, installed: bool | None
) -> StartWaking:
    """Whether, and by what, the agent of a session can be woken. `pid`: the agent's process. `installed`: what the
    hooks' command says; None where an earlier version wrote it.

    Makes the mailbox's folder, because a client can't watch a file in a folder that does not exist. Raises OSError
    where that fails, and MaestroError NOT_PRIVATE in another user's data directory.
    """
    if context.is_remote:
        return StartWaking({})
    ownership.check_data_dir(context.data)
    if not agent.waker:
        allowed = keys.renew(context.data, session, pid)
        return StartWaking({} if allowed is None else {"wakeBy": allowed})
    if installed is None:
        install = f"maestro hooks install {agent.name}"
        note = f"Mail can't wake you from idle: an earlier version installed your hooks. Your user can run: {install}"
        return StartWaking({"wakeBy": ""}, note=note)
    # The broker sees by inotify when an agent is idle.
    if not installed or sys.platform != "linux":
        wake_facts.remove(context.data, session)
        return StartWaking({"wakeBy": ""})
    if agent.waker == QWEN_CODE and not qwen_code.note(context.data, session, pid):
        return StartWaking({"wakeBy": keys.renew(context.data, session, pid) or ""})
    if agent.waker == CODEX and not codex.note(context.data, session, hook_input, pid, context.environ):
        # `codex exec` that an agent with a screen has started, in the same session, is no reason to let that sleep.
        known = wake_facts.read(context.data, session)
        return StartWaking({} if known is not None and is_alive(known.pid, known.pid_start) else {"wakeBy": ""})
    fields, note = {"wakeBy": agent.waker}, ""
    try:
        setting = config.wake_setting(context.environ)
    except MaestroError as error:
        # A mistake in a setting must not keep the mail from the agent.
        setting, note = None, f"{error.message}, so mail wakes you from idle."
    if setting is not None:
        fields["wake"] = setting
    mailbox = os.path.join(context.data, "messages", "by-receiver", session)
    places.make_directory(mailbox)
    watched = os.path.join(mailbox, WAKE_FILE) if agent.waker in (CLAUDE_CODE, OPENCODE) else ""
    return StartWaking(fields, watched, note)
