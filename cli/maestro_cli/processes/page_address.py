"""Page address: where the page of this post office is, and whether it needs a login.

Rule: the gateway says itself whether it knows whose program asks. It is asked on the way that the browser takes.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import TYPE_CHECKING

from maestro_clients.processes import gateway_process
from maestro_schemas.errors import MaestroError

from . import gateway_request

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext

_TIMEOUT_S = 5.0
_UNAUTHORISED = 401
_ANSWER_BYTES_MAX = 1 << 16
# To listen at every address -> the one of this machine for a browser.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - not bound here


def of_gateway(context: CommandContext) -> str:
    """The gateway's URL as a browser of this machine takes it; a gateway that is missing is started. Raises
    MaestroError BAD_SETTING where it may not be, and as `gateway_process.start`."""
    running = gateway_process.find(context.data)
    url = running.url if running is not None else None
    if url is None:
        wanted = gateway_request.resolve(context, http=None, host=None, port=None)
        if wanted is None:
            raise MaestroError(
                "BAD_SETTING",
                "the HTTP gateway is turned off, and it serves the page",
                "Set MAESTRO_HTTP=1, or start it once: maestro up --http",
            )
        url = gateway_process.start(context.data, context.environ, host=wanted.host, port=wanted.port)
    parts = urllib.parse.urlsplit(url)
    host = _EVERYWHERE.get(parts.hostname or "")
    return url if host is None else f"http://{host}:{parts.port}"


def needs_login(url: str) -> bool:
    """Whether the page needs a login in a browser of this user. Raises MaestroError BROKER_UNREACHABLE."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/ui/session")
        answer = connection.getresponse()
        said = json.loads(answer.read(_ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"the gateway at {url} does not answer: {error}",
            "`maestro down`, then `maestro up`.",
        ) from None
    finally:
        connection.close()
    if answer.status == _UNAUTHORISED:
        return True
    if "rights" not in said:
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"what answers at {url} has no page: it is an older gateway, or another program",
            "`maestro down`, then `maestro ui`.",
        )
    return False
