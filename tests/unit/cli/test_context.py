"""What a command knows by heart of other modules, so that it need not import them."""

from __future__ import annotations

from maestro_cli import context
from maestro_cli.hooks import session_link


def test_every_agents_variable_leads_to_its_session() -> None:
    assert set(context._AGENT_VARIABLES) == set(session_link.AGENT_VARIABLES)
    assert session_link.LINK_VARIABLE == context._LINK_VARIABLE
