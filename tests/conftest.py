"""Fixtures for every test.

Rule: a fixture ends the processes that it started within a bounded time, even when the test failed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from support.cli_shell import open_shell
from support.gateways import Gateway
from support.post_office import scratch
from support.users import new_users

# The scenes of the agents' tests contain assertions; pytest must rewrite them so that a failure shows the values.
pytest.register_assert_rewrite("agents")

# Hypothesis's own deadline of 200 ms an example would judge the load of the machine.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Shell
    from support.post_office import PostOffice
    from support.users import OtherUser


# --- how long each suite took ------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each suite (a folder of `tests/`), before pytest's own closing line. `.ci/run` prints them again.

    Suites overlap where several workers run; `work` is the sum of what their tests took.
    """
    suites: dict[str, list[pytest.TestReport]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                suites.setdefault(report.nodeid.partition("tests/")[2].partition("/")[0], []).append(report)
    for suite, reports in sorted(suites.items()):
        tests = len({report.nodeid for report in reports})
        minutes = (max(one.stop for one in reports) - min(one.start for one in reports)) / 60
        work = sum(one.duration for one in reports) / 60
        terminalreporter.write_line(f"suite {suite:<10}{tests:>7,} tests{minutes:>8.1f} minutes{work:>8.1f} of work")


# --- processes driven through the library ------------------------------------------------------------------


@pytest.fixture
def post_office() -> Iterator[PostOffice]:
    """A scratch post office without a rate limit; no broker runs until the test starts one."""
    made = scratch()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def open_office(post_office: PostOffice) -> PostOffice:
    """A post office with a running broker and the sessions `ann` and `bob`."""
    post_office.start()
    post_office.sessions("ann", "bob")
    return post_office


@pytest.fixture
def gateway(open_office: PostOffice) -> Iterator[Gateway]:
    """An HTTP gateway in front of `open_office`."""
    with Gateway(open_office) as made:
        yield made


# --- other users of the machine ----------------------------------------------------------------------------


@pytest.fixture
def other_user() -> Iterator[OtherUser]:
    """Another user of this machine; the test is skipped, or fails in CI, where none can be had."""
    with new_users() as [user]:
        yield user


@pytest.fixture
def other_users() -> Iterator[list[OtherUser]]:
    """Two other users of this machine."""
    with new_users(2) as users:
        yield users


# --- shells in which `maestro` is run ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    """The settings of `person` and `shared_person`; a module overrides this fixture to test other settings."""
    return {"MAESTRO_RATE_LIMIT": "0"}


@pytest.fixture(scope="module")
def shared_person(shell_environ: dict[str, str]) -> Iterator[Shell]:
    """One operator's shell for all tests of a module; the module makes its `person` return it."""
    with open_shell(**shell_environ) as opened:
        yield opened


@pytest.fixture
def person(shell_environ: dict[str, str]) -> Iterator[Shell]:
    """The operator's shell, in a data directory of its own; no broker runs yet."""
    with open_shell(**shell_environ) as opened:
        yield opened


@pytest.fixture
def shell(person: Shell) -> Shell:
    """Another name of `person`, for modules without sessions."""
    return person


@pytest.fixture
def alice(person: Shell) -> Shell:
    """The shell of an orchestrator; its name is unique, since a module may share its broker."""
    return person.session("alice" + os.urandom(4).hex(), role="orchestrator")


@pytest.fixture
def bob(person: Shell) -> Shell:
    """The shell of a worker without a name."""
    return person.session()
