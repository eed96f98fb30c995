"""Choice: which events one client wants, and in which form.

Rule: without a choice, a client gets every event that it may see. The form is that of the clients that Maestro ships;
`?frames=flat` selects the other one, in which `type` is always `event` and a message's fields stand in `data`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .visibility import Directory

Form = Literal["named", "flat"]


class Choice(NamedTuple):
    """The sessions whose events a client wants: those that it names, or those of a project."""

    sessions: frozenset[str] = frozenset()
    project: str | None = None

    def has(self, session: str, directory: Directory) -> bool:
        """Whether it chose this session."""
        if self.project is None:
            return session in self.sessions
        return directory.project_of(session) == self.project


def form_of(query: Mapping[str, str]) -> Form:
    """The form that an address asks for. Raises MaestroError INVALID for an unknown one."""
    wanted = query.get("frames") or "named"
    for form in get_args(Form):
        if wanted == form:
            return form  # type: ignore[no-any-return]
    raise MaestroError(
        "INVALID", f"there is no form {wanted[:40]!r} of events", "`frames` is `named` (the default) or `flat`."
    )
