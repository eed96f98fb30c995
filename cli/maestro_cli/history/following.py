"""Following: asks for what is new after each notice, until it is interrupted.

Rule: a notice only shows that a request is worthwhile. The cursor of the caller decides what was read, so a restart
of the broker loses and repeats nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_cli.context import CommandContext
    from maestro_clients.client import Client

# How often a closed output is looked for. In between, the process waits in poll(2).
_TICK_S = 0.25
# The longest time without a request, in case a notice was lost.
_ASK_EVERY_S = 5.0
# After a notice, wait for others that come at the same time: one request serves them all.
_GATHER_S = 0.02
# How often a broker that is gone is looked for.
_LOOK_AGAIN_S = 0.25


def follow(context: CommandContext, topic: str | None, catch_up: Callable[[Client], bool]) -> None:
    """Call `catch_up` with an open client, at once and after each notice, until it returns False. `topic`: the
    session whose notices wake it; None for all.

    Raises StdoutClosed, KeyboardInterrupt, or a MaestroError that waiting does not resolve.
    """
    from maestro_clients.mailbox.notices import Notices
    from maestro_clients.processes.broker_process import connect_if_running, find

    lost = False
    while True:
        endpoints = find(context.data, context.environ)
        client = None if endpoints is None else connect_if_running(context.data, context.environ, context.caller)
        if endpoints is None or client is None:
            lost = _report_lost(lost=lost)
            _check_output()
            time.sleep(_LOOK_AGAIN_S)
            continue
        notices = None
        try:
            with client:
                notices = Notices(endpoints.notices, topic, watches=False)
                while catch_up(client):
                    if lost:
                        lost = False
                        streams.note("maestro: the broker is back")
                    if not _wait(notices):
                        break
                else:
                    return
        except MaestroError as error:
            if error.kind != "unreachable":
                raise
        finally:
            if notices is not None:
                notices.close()


def _wait(notices: Any) -> bool:
    """Wait for a notice, or until it is time to ask again. Returns False when the broker is gone."""
    import zmq

    poller = zmq.Poller()
    poller.register(notices.socket, zmq.POLLIN)
    poller.register(notices.monitor, zmq.POLLIN)
    give_up_s = time.monotonic() + _ASK_EVERY_S
    while time.monotonic() < give_up_s:
        ready = dict(poller.poll(int(_TICK_S * 1000)))
        _check_output()
        if notices.monitor in ready:
            return False
        if notices.socket in ready:
            time.sleep(_GATHER_S)
            notices.drain()
            return True
    return True


def _check_output() -> None:
    if streams.stdout_is_gone():
        raise streams.StdoutClosed


def _report_lost(*, lost: bool) -> bool:
    if not lost:
        streams.note("maestro: the broker is gone; waiting for it to come back (maestro up)")
    return True
