"""`maestro ui`: open the page in a browser.

Rule: it starts what is missing. The page is the person's, so an agent's shell is refused. Where the kernel vouches
for the browser, the address is all. Elsewhere, and for a page that may only show, it has a code that works once. A
code is on no command line: the browser opens a private file that leads to the address.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option, YesOption
    from maestro_clients.processes.login_codes import Rights

DETAILS = """\
The page shows sessions, mail and states as they change, and writes as the
operator. On this machine your own browser needs no login. Where the system
does not tell whose browser it is, or other machines can reach the gateway,
the address has a code. It works once, for a minute; the page then stays open
for 12 hours, or until `maestro down`. From another machine, first:
  ssh -L 4568:127.0.0.1:4568 HOST

Examples:
  maestro ui
  maestro ui --view-only
  maestro ui --no-open"""


def run(
    *,
    opens: Annotated[
        bool, Option(name="--open", negative="--no-open", help="Whether to open a browser; else print the address.")
    ] = True,
    view_only: Annotated[bool, Option(help="A page that shows everything and changes nothing.")] = False,
    yes: YesOption = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"url", "opened", "rights", "login"} as JSON.')
    ] = False,
) -> int:
    """Open the page."""
    from maestro_cli.processes import browser, page_address
    from maestro_clients.processes import login_codes

    context = CommandContext.here(linked=False)
    context.check_local("open the page of")
    sign = context.agent_sign()
    if sign is not None and not yes:
        raise MaestroError(
            "FORBIDDEN",
            f"{sign} is set: an agent runs this shell, and the page is the person's, who is the operator there",
            "An agent reads with `maestro inbox` and `maestro log`. If you are the person: --yes.",
        )
    context.ensure_broker()
    url = page_address.of_gateway(context)
    rights: Rights = "view" if view_only else "full"
    has_code = view_only or page_address.needs_login(url)
    code = login_codes.issue(context.data, rights, now_ms()) if has_code else None
    address = f"{url}/ui/" if code is None else f"{url}/ui/#code={code}"
    opened = False
    if opens:
        # A command line is seen by every user of the machine.
        opened = browser.open_page(address if code is None else login_codes.redirect(context.data, code, address))
    shown = f"{url}/ui/" if opened else address
    if as_json:
        streams.say_json({"url": shown, "opened": opened, "rights": rights, "login": has_code})
        return 0
    what = "The page that only shows" if view_only else "The page"
    lines = [f"{what} is open in your browser: {shown}" if opened else f"{what}: {shown}"]
    if opens and not opened:
        lines.append("No browser could be opened here; open that address in one.")
    if code is not None and not opened:
        lines.append(f"It works once, within {login_codes.LIFE_MS // 1_000} s.")
    streams.say("\n".join(lines))
    return 0
