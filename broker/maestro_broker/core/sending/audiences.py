"""Audiences: the sessions that an address with `@` means, at the moment of acceptance.

Rule: an audience is the active sessions that fit its word and that the sender may write to by role. One that it may
not write to is not in the set, which is no error: it is not the sender's to address. The operator is in none, and the
sender is not in its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from maestro_broker.core import validation
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import AUDIENCE_SIGIL, AUDIENCE_WORDS, plain_name
from maestro_schemas.texts.near_words import guess
from maestro_schemas.texts.visible_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.groups import Group
    from maestro_schemas.sessions import Session

_PROJECT = "project"
# How many groups an error names.
_NAMED_MAX = 10
_CHILDREN = "children"


def is_audience(to: str | list[str]) -> bool:
    """Whether a message has an audience: a list of addresses, or one address of several sessions."""
    return type(to) is list or to.startswith(AUDIENCE_SIGIL)  # type: ignore[union-attr]


def is_wide(address: str) -> bool:
    """Whether an address is a set that grows with the post office. Groups, and `@children`, were chosen by a session,
    so they need no confirmation."""
    word = _word_of(address)
    return address.startswith(AUDIENCE_SIGIL) and word in AUDIENCE_WORDS and word != _CHILDREN


def is_word(address: str) -> bool:
    """Whether an address with `@` is one of the fixed words, and no group."""
    return _word_of(address) in AUDIENCE_WORDS


class Expansion(Struct, gc=False):
    """What the audiences of one request mean. No session changes between its messages, so each address is looked up
    once: a request with thousands of addresses costs the main loop no more than its sessions do."""

    state: State
    sender: Session
    # By address.
    known: dict[str, list[SessionState]] = {}

    def members(self, address: str) -> list[SessionState]:
        """The sessions that `address` means, in the order of their start, of a group in that of their joining.

        Raises MaestroError INVALID, ROLE_FORBIDDEN, FORBIDDEN, GROUP_NOT_FOUND.
        """
        known = self.known.get(address)
        if known is None:
            state, sender = self.state, self.sender
            if not is_word(address):
                found = _group(state, sender, address)
            elif _word_of(address) == _PROJECT:
                found = state.sessions.among("project", _project(sender, address))
            else:
                found = _word(state, sender, address)
            known = self.known[address] = [
                each for each in found if each.session.id != sender.id and validation.may_write(sender, each.session)
            ]
        return known


def _word(state: State, sender: Session, address: str) -> Iterable[SessionState]:
    word, separator, project = address[1:].partition(":")
    sessions = state.sessions
    if separator:
        raise MaestroError("INVALID", f"{_shown(address)} names a project", f"Use @project:{one_line(project)[:64]}.")
    match word:
        case "all":
            if sender.role != "orchestrator":
                raise MaestroError(
                    "ROLE_FORBIDDEN",
                    f"worker {sender.id} may not write to @all",
                    "A worker writes to @workers and @project (its own), to @orchestrators and to its groups.",
                )
            return sessions.page(None, active=True)
        case "workers":
            if sender.role == "orchestrator":
                return sessions.among("role", "worker")
            own = sessions.among("project", sender.project_id)
            return (each for each in own if each.session.role == "worker")
        case "orchestrators":
            return sessions.among("role", "orchestrator")
    return sessions.among("parent", sender.id)


def _project(sender: Session, address: str) -> str:
    _, separator, project = address.partition(":")
    wanted = plain_name(project) if separator else sender.project_id
    if not wanted:
        raise MaestroError(
            "INVALID",
            f"{_shown(address)} names no project",
            "Name one: @project:NAME. `maestro session list` has them.",
        )
    if sender.role != "orchestrator" and wanted != sender.project_id:
        raise MaestroError(
            "ROLE_FORBIDDEN",
            f"worker {sender.id} (project {sender.project_id}) may not write to {_shown(address)}",
            "A worker writes to its own project: @project. Ask an orchestrator to pass it on.",
        )
    return wanted


def _group(state: State, sender: Session, address: str) -> Iterable[SessionState]:
    group = state.groups.get(address[1:])
    if group is None:
        raise no_group(address, state.groups)
    its_own = (group.creator, *(member.session for member in group.members))
    if sender.role != "orchestrator" and sender.id not in its_own:
        raise MaestroError(
            "FORBIDDEN",
            f"{sender.id} is no member of {_shown(address)}",
            f"Its members write to it, and orchestrators: maestro group join {group.name}",
        )
    known = (state.sessions.get(member.session) for member in group.members)
    return (each for each in known if each is not None and each.active)


def no_group(address: str, groups: dict[str, Group]) -> MaestroError:
    """The error for an address with `@` that is neither an audience nor a group."""
    words = [f"@{word}" for word in sorted(AUDIENCE_WORDS)]
    named = sorted(groups)[:_NAMED_MAX]
    near = guess(address[1:], [*(word[1:] for word in words), *named], form="@{}")
    here = f"groups: {', '.join(f'@{name}' for name in named)}" if named else "there are no groups"
    return MaestroError(
        "GROUP_NOT_FOUND", f"there is no group {_shown(address)}", f"{near}Audiences: {', '.join(words)}; {here}."
    )


def _word_of(address: str) -> str:
    return address[1:].partition(":")[0]


def _shown(address: str) -> str:
    return one_line(address)[:80]
