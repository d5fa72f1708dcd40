"""The errors of the harness: two roots, split by who is to blame.

Here belong exception classes and nothing else. What maps a foreign exception to one of these does not: that is
the boundary module of the tool in question.

    HarnessError                 the drill proves nothing -> INCONCLUSIVE
      ConfigError                asked for nonsense; raised before anything is touched
        UnsafeTarget             not our cluster, or beyond the blast radius
      EnvironmentUnfit           this machine cannot run a drill as it is (no engine, too little memory, ...)
      ToolError                  a tool on our side failed; carries argv, return code, output
        ToolMissing
        CommandFailed
        CommandTimeout
      ImageUnavailable           an image cannot be had from the chosen source
      ProvisionFailed            a cluster could not be made or destroyed
      PreconditionUnmet          the steady state was not MET before injection
      ApiUnreachable             the Kubernetes API did not answer (before injection; afterwards it is an observation)
      ApiRefused                 the Kubernetes API answered with an error status
      FaultError
        InjectFailed             the fault did not land
        HealFailed               the fault could not be undone; the cluster is tainted
    DrillFailed(AssertionError)  the system broke its promise -> REFUTED
      NotConverged               patience ran out, or a final cause was seen
      ObjectiveMissed            findings that were REFUTED
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `drill` and of pytest runs that hold drills. 0 to 5 are pytest's own."""

    OK = 0
    PROMISE_BROKEN = 1  # the system under test broke its promise (pytest: tests failed)
    INTERRUPTED = 2
    INTERNAL = 3
    USAGE = 4  # bad option, unknown scenario, unusable repository
    NOTHING_SELECTED = 5
    ENVIRONMENT = 11  # harness or environment trouble: the drill proves nothing
    UNSAFE = 12  # refused for safety


class HarnessError(Exception):
    """The drill proves nothing: something on our side, or on this machine, is in the way."""

    exit_code = ExitCode.ENVIRONMENT


class ConfigError(HarnessError):
    """The request cannot be carried out as written. Raised before anything is touched."""

    exit_code = ExitCode.USAGE

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}; found {found}; {remedy}")


class UnsafeTarget(ConfigError):
    """The target is not ours, or lies outside the declared blast radius."""

    exit_code = ExitCode.UNSAFE


class EnvironmentUnfit(HarnessError):
    """This machine cannot run a drill as it is."""

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}; found {found}; {remedy}")


class ToolError(HarnessError):
    """A tool on our side failed."""


class ToolMissing(ToolError):
    """A command is not installed."""

    def __init__(self, tool: str, remedy: str = "") -> None:
        self.tool = tool
        super().__init__(f"expected the command {tool!r} on PATH; found none; {remedy or f'install {tool}'}")


class CommandFailed(ToolError):
    """A command ended with a return code that means failure."""

    def __init__(self, argv: Sequence[str], returncode: int, stdout: str, stderr: str) -> None:
        self.argv, self.returncode, self.stdout, self.stderr = tuple(argv), returncode, stdout, stderr
        tail = "\n".join((stderr.strip() or stdout.strip()).splitlines()[-15:])
        super().__init__(f"`{shlex.join(argv)}` ended with {returncode}:\n{tail}")


class CommandTimeout(ToolError):
    """A command did not end within its deadline and was killed."""

    def __init__(self, argv: Sequence[str], timeout: timedelta, stdout: str, stderr: str) -> None:
        self.argv, self.timeout, self.stdout, self.stderr = tuple(argv), timeout, stdout, stderr
        tail = "\n".join((stderr.strip() or stdout.strip()).splitlines()[-15:])
        super().__init__(f"`{shlex.join(argv)}` did not end within {timeout.total_seconds():g} s:\n{tail}")


class ImageUnavailable(HarnessError):
    """An image cannot be had from the chosen source."""


class ProvisionFailed(HarnessError):
    """A cluster, or something it stands on, could not be made or destroyed."""


class PreconditionUnmet(HarnessError):
    """The steady state was not MET before injection: the drill would prove nothing."""


class ApiUnreachable(HarnessError):
    """The Kubernetes API did not answer at all: refused, reset, timed out."""


class ApiRefused(HarnessError):
    """The Kubernetes API answered with an error status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status, self.reason, self.message = status, reason, message
        super().__init__(f"the API answered {status} {reason}: {message}")


class FaultError(HarnessError):
    """A fault could not be handled as declared."""


class InjectFailed(FaultError):
    """The fault did not land, so that nothing that follows would prove anything."""


class HealFailed(FaultError):
    """The fault could not be undone. The cluster is tainted and must not be used again."""


class DrillFailed(AssertionError):
    """The system under test broke its promise."""


class NotConverged(DrillFailed):
    """Patience ran out, or the cause is final: it will not become what was promised."""


class ObjectiveMissed(DrillFailed):
    """At least one finding is REFUTED."""
