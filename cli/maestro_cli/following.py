"""Following: asks the broker again after each notice, also after the broker was stopped and started.

Rule: a notice only shows that a request is worthwhile; what the request returns is the truth. So nothing is lost with
a notice, and a restart of the broker is reported on standard error and waited for.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from maestro_schemas.errors import MaestroError

from .output import streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_clients.client import Client
    from maestro_schemas.documents import EventDoc

    from .context import CommandContext

# How often a closed output is looked for. In between, the process waits in poll(2).
_TICK_S = 0.25
# The longest and the shortest time for one request.
_CALL_S = 10.0
_CALL_S_MIN = 0.5
# The longest time without a request, in case a notice was lost.
_ASK_EVERY_S = 5.0
# The first time after a connection. No answer says that the subscription is in force, and what came before is not
# noticed.
_ASK_AGAIN_S = 0.5
# After a notice, wait for others that come at the same time: one request serves them all.
_GATHER_S = 0.02
# How often a broker that is gone is looked for.
_LOOK_AGAIN_S = 0.25


def follow(
    context: CommandContext,
    topic: str | None,
    ask: Callable[[Client], bool],
    *,
    concerns: Callable[[EventDoc], bool] | None = None,
    tick: Callable[[], None] | None = None,
    timeout_s: float = math.inf,
) -> bool:
    """Call `ask` with a client now, after each notice of the session `topic` (None: of every session), and at the
    latest after a few seconds, until it returns False. Returns whether it did so within `timeout_s`.

    `concerns`: whether an event is a reason to ask; without it, each is. `tick` is called a few times a second.
    Raises StdoutClosed, KeyboardInterrupt, or a MaestroError that waiting does not resolve.
    """
    from maestro_clients.client import Client
    from maestro_clients.mailbox.notices import Notices
    from maestro_clients.processes.broker_process import find

    lost = False
    deadline_s = time.monotonic() + timeout_s
    while True:
        endpoints = find(context.data, context.environ)
        if endpoints is None:
            lost = _report_lost(lost=lost)
            _check_output()
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(max(0.0, min(_LOOK_AGAIN_S, deadline_s - time.monotonic())))
            continue
        notices = Notices(endpoints.notices, topic, watches=False)
        try:
            call_s = max(_CALL_S_MIN, min(_CALL_S, deadline_s - time.monotonic()))
            with Client(endpoints.router, context.caller, timeout_s=call_s) as client:
                ask_again_s = _ASK_AGAIN_S
                while True:
                    goes_on = ask(client)
                    if lost:
                        lost = False
                        streams.note("maestro: the broker is back")
                    if not goes_on:
                        return True
                    if time.monotonic() >= deadline_s:
                        return False
                    until_s = min(time.monotonic() + ask_again_s, deadline_s)
                    ask_again_s = _ASK_EVERY_S
                    if not _wait(notices, concerns, tick, until_s):
                        break
        except MaestroError as error:
            if error.kind != "unreachable":
                raise
            if time.monotonic() >= deadline_s:
                return False
            if context.is_remote:  # then only a request shows that the broker is gone
                lost = _report_lost(lost=lost)
        finally:
            notices.close()


def _wait(
    notices: Any,
    concerns: Callable[[EventDoc], bool] | None,
    tick: Callable[[], None] | None,
    until_s: float,
) -> bool:
    """Wait for a notice, or until it is time to ask again. Returns False when the broker is gone."""
    import zmq

    poller = zmq.Poller()
    poller.register(notices.socket, zmq.POLLIN)
    poller.register(notices.monitor, zmq.POLLIN)
    while (left_s := until_s - time.monotonic()) > 0:
        ready = dict(poller.poll(int(min(_TICK_S, left_s) * 1000) + 1))
        _check_output()
        if notices.monitor in ready and notices.is_lost():
            return False
        if notices.socket in ready:
            time.sleep(_GATHER_S)
            if any(concerns is None or concerns(event) for event in notices.drain()):
                return True
        if tick is not None:
            tick()
    return True


def _check_output() -> None:
    if streams.stdout_is_gone():
        raise streams.StdoutClosed


def _report_lost(*, lost: bool) -> bool:
    if not lost:
        streams.note("maestro: the broker is gone; waiting for it to come back (maestro up)")
    return True
