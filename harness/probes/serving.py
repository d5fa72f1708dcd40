"""Does it answer?

Here belong probes that ask a workload through its Service.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, ProvisionFailed
from harness.core.objects import Ref, placed
from harness.core.observation import Observation, Probe, State
from harness.core.text import first_line
from harness.gitops.platform import Platform


@dataclass(slots=True)
class _Answers:
    platform: Platform
    service: str
    path: str
    signal: None = None
    first_ns: int | None = None
    last_failure_ns: int | None = None

    @property
    def subject(self) -> str:
        return f"answers({self.service})"

    def observe(self) -> Observation:
        clock = self.platform.clock
        namespace, _, name = self.service.partition("/")
        expected = f"an answer from Service {self.service}"
        asked = clock.now_ns()
        try:
            answer = self.platform.api.raw(f"/api/v1/namespaces/{namespace}/services/{name}:http/proxy{self.path}")
        except (ApiUnreachable, ApiRefused, ProvisionFailed) as error:
            self.first_ns, self.last_failure_ns = None, asked
            why = first_line(error)
            return Observation(State.PENDING, self.subject, expected, why[:160], asked)
        self.first_ns = self.first_ns or clock.now_ns()
        return Observation(
            State.MET,
            self.subject,
            expected,
            f"answered: {answer.strip()[:60]}",
            self.first_ns,
            self.last_failure_ns,
            detail={"answers_ns": {self.service: self.first_ns}},
        )


def front_doors_answer(platform: Platform) -> tuple[Probe, ...]:
    """A probe for each Service that drill.yaml names under `front_doors`; none where it names none.

    Make it before the fault and again after it: each tells since when its Service answers.
    """
    return tuple(answers(platform, door) for door in platform.plan.front_doors)


def answers(platform: Platform, service: str, path: str = "/healthz") -> Probe:
    """A Service (namespace/name, port named `http`) answers over HTTP, asked through the API's Service proxy.

    Raises ConfigError: Git describes no such Service.
    """
    wanted = Ref("", "Service", *placed(service, "Service"))
    if not any(desired.ref == wanted for desired in platform.desired()):
        raise ConfigError(f"a Service {service} in Git", "none", "name one that the repository describes")
    return _Answers(platform, service, path)
