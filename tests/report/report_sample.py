"""A run made by hand for the tests of the renderers, and the generator of their golden files.

`python tests/report/report_sample.py golden` writes the golden files again (read the difference before you commit it);
`python tests/report/report_sample.py pages FOLDER` stores the run there and renders it, to look at.

The findings are made by the real checks from the events below, so that neither can drift from the other.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.core.checks import (
    Check,
    everything_came_back,
    fault_landed,
    recovered_within,
    stayed_so,
    stayed_within_blast_radius,
    waits_ended_met,
)
from harness.core.checks.registry import spec_of
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict, join
from harness.effects.store import RunFolder
from harness.report import markdown, table
from harness.report.console import Console
from harness.report.model import DrillReport, RunReport, build_drill, build_run
from harness.reporting import write_reports

GOLDEN = Path(__file__).parent / "golden"
BEGUN = datetime(2026, 8, 14, 10, 12, 0, tzinfo=UTC)
FAST = ("fast (timeout.reconciliation=10s, timeout.reconciliation.jitter=0s, controller.self.heal.timeout.seconds=0, "
        "node-monitor-grace-period=20s)")  # fmt: skip
NASTY = ('<script>alert("drill")</script> </style><img src=x onerror=alert(1)> \x1b[31mred\x1b[0m \u202eabc '
         + "very-long-" * 900)  # fmt: skip
APPLICATIONS = {"cortex-cicd": 38.4, "cortex-security": 41.2, "cortex-knowledge": 44.0, "cortex-dev": 47.9,
                "cortex-chat": 55.1, "cortex-core": 58.8, "cortex-system": 66.92}  # fmt: skip
IN_GIT: dict[str, Any] = {"expected": "120 objects as in Git", "actual": "120 of 120 objects as in Git"}
COUNTS = {"cortex-system": 49, "cortex": 16, "cortex-chat": 17, "cortex-dev": 8, "cortex-cicd": 3,
          "cortex-security": 12, "cortex-knowledge": 15}  # fmt: skip


class Script:
    """Events one after the other; the seconds say when."""

    def __init__(self, begun: datetime = BEGUN) -> None:
        self.begun, self.events = begun, list[Event]()

    def say(self, at: float, kind: str, subject: str = "", **data: Any) -> Event:
        moment = timedelta(seconds=at)
        event = Event(len(self.events), moment, self.begun + moment, kind, subject, data)
        self.events.append(event)
        return event

    def phase(self, name: str, begin: float, end: float, inside: Sequence[tuple[str, float, float]] = ()) -> None:
        begun = self.say(begin, "phase.begun", name)
        for inner in inside:
            self.phase(*inner)
        self.say(end, "phase.ended", name, begun_seq=begun.seq, begun_us=us(begin), outcome="done")

    def wait(self, kind: str, subject: str, begin: float, met: float, *, expected: str, actual: str, within: float,
             settle: float = 0.0, not_before: float | None = None, detail: Any = None) -> None:  # fmt: skip
        self.say(begin, f"{kind}.begun", subject, within_s=within, settle_s=settle)
        self.changed(met, subject, "MET", expected, actual)
        self.say(met, f"{kind}.ended", subject, state="MET", expected=expected, actual=actual, met_us=us(met),
                 not_before_us=None if not_before is None else us(not_before), flaps=0, within_s=within,
                 settle_s=settle, waited_s=max(met - begin, 0.0) + settle, detail=detail or {})  # fmt: skip

    def gave_up(
        self, subject: str, begin: float, within: float, expected: str, actual: str, detail: Any = None
    ) -> None:
        self.say(begin + within, "until.ended", subject, state="PENDING", expected=expected, actual=actual, met_us=None,
                 not_before_us=None, flaps=0, within_s=within, settle_s=0.0, waited_s=within,
                 detail=detail or {})  # fmt: skip

    def changed(self, at: float, subject: str, state: str, expected: str, actual: str, done: int | None = None) -> None:
        self.say(at, "probe.changed", subject, state=state, expected=expected, actual=actual, done=done,
                 total=None if done is None else 120)  # fmt: skip

    def fault(self, subject: str, sent: float, accepted: float, confirmed: float, what: str, actual: str,
              touches: Sequence[str] = ()) -> None:  # fmt: skip
        self.say(sent, "fault.injecting", subject)
        self.say(accepted, "fault.injected", subject, what=what, sent_us=us(sent), accepted_us=us(accepted), detail={},
                 touches=list(touches))  # fmt: skip
        self.say(confirmed, "fault.confirmed", subject, state="MET", actual=actual, expected=actual)

    def begin(self, name: str, promise: str, radius: str) -> dict[str, Any]:
        self.say(0, "drill.begun", name, promise=promise, blast_radius=radius, timing=FAST)
        return {"schema": 1, "name": name, "promise": promise, "blast_radius": radius, "timing": FAST, "twin_of": None,
                "scenario": f"scenarios/test_sample.py::{name}", "objective_s": None}  # fmt: skip

    def judged(self, at: float, *checks: Check) -> list[Finding]:
        asked = (fault_landed(), waits_ended_met(), *checks)
        self.say(at, "judging", "", checks=[dict(spec_of(check)) for check in asked])
        found = [check(History(tuple(self.events))) for check in asked]
        self.record(at, found)
        return found

    def record(self, at: float, found: Sequence[Finding]) -> None:
        for finding in found:
            self.say(at, "finding", finding.claim, **finding.to_record())

    def stored(self, plan: dict[str, Any], findings: Sequence[Finding], verdict: Verdict | None = None) -> DrillReport:
        """Through the stored form and back, as a real run."""
        self.say(self.events[-1].at.total_seconds(), "drill.ended", plan["name"], verdict=str(verdict))
        history = History.from_lines(History(tuple(self.events)).to_lines())
        said = verdict or join(f.verdict for f in findings)
        records = {
            "schema": 1,
            "verdict": said.value,
            "findings": [f.to_record() for f in findings],
            "name": plan["name"],
        }
        return build_drill(plan, history, records)


def us(at: float) -> int:
    return round(at * 1_000_000)


def inventory(*, without: str = "") -> dict[str, Any]:
    """120 objects, as in the sample repository."""
    names = [f"ConfigMap {space}/setting-{i:02d}" for space, count in COUNTS.items() for i in range(count)]
    names[names.index("ConfigMap cortex-dev/setting-03")] = "Service cortex-dev/code-formatter"
    return {name: {"spec": {"n": i}} for i, name in enumerate(names) if name != without}


def self_heal() -> DrillReport:
    s = Script()
    name = "test_scaled_deployment_is_healed_back"
    promise = "A Deployment scaled by hand goes back to the replica count in Git, by itself, within three minutes."
    plan = s.begin(name, promise, "namespace") | {"objective_s": 180.0}
    s.wait(
        "require",
        "converged(primary)",
        0.001,
        -3.2,
        **IN_GIT,
        within=300,
    )
    s.fault("ScaleDeployment(cortex-chat/chat-api to 5)", 0.404, 0.412, 0.4125,
            "replicas of Deployment cortex-chat/chat-api: 2 to 5",
            "Deployment cortex-chat/chat-api had spec.replicas 5, Git says 2")  # fmt: skip
    s.wait("until", "healed(Deployment cortex-chat/chat-api)", 0.42, 0.731, not_before=0.723, within=540,
           expected="spec.replicas 2, as in Git", actual="spec.replicas 2 again")  # fmt: skip
    s.wait("until", "converged(primary)", 0.732, 1.62, not_before=1.604, within=540, settle=3,
           **IN_GIT)  # fmt: skip
    return s.stored(plan, s.judged(4.63, recovered_within(timedelta(minutes=3), when="healed")))


def _cluster_lost(s: Script, *, back: Mapping[str, Any], converge_phase: bool = True) -> None:
    subject = "converged(primary) and answers(cortex-chat/chat-api)"
    expected = "120 objects as in Git; an answer from Service cortex-chat/chat-api"
    s.wait(
        "require",
        "converged(primary)",
        0.001,
        0.9,
        **IN_GIT,
        within=300,
    )
    s.wait(
        "require", "answers(cortex-chat/chat-api)", 0.902, 1.1, expected="an answer", actual="answered: ok", within=300
    )
    s.say(3.9, "observed", "inventory", reading="inventory", value=inventory())
    s.fault("DestroyCluster(dr-main-4f1c09aa)", 4.1, 4.1, 6.71, "cluster with 3 nodes deleted in 2.6 s",
            "no container, no volume and no API of the cluster left")  # fmt: skip
    begun = s.say(6.8, "phase.begun", "rebuild")
    s.phase(
        "cluster",
        6.81,
        16.9,
        [("cluster.api", 6.9, 12.83), ("cluster.nodes", 12.83, 13.61), ("cluster.dns", 13.61, 16.8)],
    )
    s.say(17.4, "note", "argocd", text="the image of redis is the one built here")
    s.phase("argocd", 16.9, 27.4)
    s.phase("root", 27.4, 28.3)
    s.say(28.31, "phase.ended", "rebuild", begun_seq=begun.seq, begun_us=us(6.8), outcome="done")
    opened = s.say(28.32, "phase.begun", "converge") if converge_phase else None
    s.say(28.33, "until.begun", subject, within_s=1800.0, settle_s=3.0)
    rollout = "Deployment cortex-system/coordinator rolled out"
    for i, done in enumerate((0, 12, 31, 55, 78, 97, 112)):
        s.changed(28.4 + i * 5.3, subject, "PENDING", rollout,
                  "1 of 2 replicas available", done)  # fmt: skip
        s.say(31.0 + i * 5.3, "heartbeat", subject, state="PENDING", expected=rollout,
              actual="1 of 2 replicas available", done=done, total=120, left_s=1797.3 - i * 5.3)  # fmt: skip
    for at, end in ((49.1, None), (50.0, us(49.9))):
        s.say(at, "gap", "Pod", start_us=us(48.7), end_us=end, reason="the watch was closed by the server")
    detail = {"revision": "6d1f0c2f5f0a", "slowest": "cortex-system",
              "slowest_object": "StatefulSet cortex-system/postgres",
              "applications": {n: us(at) for n, at in APPLICATIONS.items()},
              "answers": {"cortex-chat/chat-api": us(62.0)}}  # fmt: skip
    s.changed(66.92, subject, "MET", expected, "120 of 120 objects as in Git; answered: ok", 120)
    s.say(66.92, "until.ended", subject, state="MET", expected=expected, met_us=us(66.92), not_before_us=us(66.87),
          actual="120 of 120 objects as in Git; answered: ok", flaps=0, within_s=1800.0, settle_s=3.0, waited_s=41.6,
          detail=detail)  # fmt: skip
    if opened:
        s.say(69.95, "phase.ended", "converge", begun_seq=opened.seq, begun_us=us(28.32), outcome="done")
    s.say(70.4, "observed", "inventory", reading="inventory", value=dict(back))


LOSS = "A new cluster, given only Git, runs everything the lost one ran, within fifteen minutes."


def cluster_loss(*, converge_phase: bool = True) -> DrillReport:
    s = Script(BEGUN + timedelta(seconds=30))
    plan = s.begin("test_cluster_is_rebuilt_from_git_alone", LOSS, "cluster") | {"objective_s": 900.0}
    _cluster_lost(s, back=inventory(), converge_phase=converge_phase)
    return s.stored(plan, s.judged(70.5, recovered_within(timedelta(minutes=15)), everything_came_back(at_least=120)))


def twin() -> DrillReport:
    """The cluster loss with a manifest missing: REFUTED, naming the object, so that the twin HELD."""
    s = Script(BEGUN + timedelta(seconds=200))
    name = "test_cluster_loss_with_a_manifest_missing"
    promise = "When one manifest is missing from Git, the drill names the object that did not come back."
    plan = s.begin(name, promise, "cluster") | {"twin_of": "test_cluster_is_rebuilt_from_git_alone"}
    sabotage = "LoseManifest(apps/cortex-dev/code-formatter-service.yaml)"
    lost = "Service cortex-dev/code-formatter"
    s.say(0.0, "sabotage.begun", sabotage, expect="everything in Git came back", naming=lost)
    _cluster_lost(s, back=inventory(without=lost))
    found = s.judged(70.5, recovered_within(timedelta(minutes=15)), everything_came_back(at_least=120))
    told = "; ".join(f"{f.claim}: {f.verdict}" for f in found)
    s.say(70.51, "twin.story", sabotage, verdict="REFUTED", findings=told)
    claim = "the sabotaged story is REFUTED by 'everything in Git came back'"
    last = Finding(claim, Verdict.HELD, f"REFUTED, naming {lost}", f"1 missing: {lost}")
    s.record(70.52, [last])
    s.say(75.0, "sabotage.ended", sabotage)
    return s.stored(plan, [last])


def refuted() -> DrillReport:
    """It never recovered, and the system's own words are hostile."""
    s = Script(BEGUN + timedelta(seconds=300))
    name = "test_deleted_config_is_put_back"
    plan = s.begin(name, "A ConfigMap deleted by hand is put back within one minute.", "namespace") | {
        "objective_s": 60.0
    }
    s.wait(
        "require",
        "converged(primary)",
        0.001,
        0.2,
        **IN_GIT,
        within=300,
    )
    s.fault(
        "DeleteObject(ConfigMap cortex/settings)", 0.3, 0.31, 0.35, "ConfigMap cortex/settings deleted", "it is gone"
    )
    subject, expected = "exists(ConfigMap cortex/settings)", "ConfigMap cortex/settings with Git's content"
    s.say(0.36, "until.begun", subject, within_s=180.0, settle_s=0.0)
    s.changed(0.4, subject, "PENDING", expected, "absent")
    for i in range(22):
        s.say(
            8.4 + i * 8,
            "heartbeat",
            subject,
            state="PENDING",
            expected=expected,
            actual=NASTY,
            done=None,
            total=None,
            left_s=172.0 - i * 8,
        )
    why = "a ResourceQuota does not allow it"
    chain = {"application": "cortex-core", "wave": 0, "resource": "ConfigMap cortex/settings", "symptom": "is missing",
             "cause": "quota", "words": why, "message": NASTY[:300], "final": False}  # fmt: skip
    s.gave_up(subject, 0.36, 180.0, expected, NASTY, {"chain": chain})
    found = s.judged(180.4)
    found.append(
        Finding("the drill ran to its end", Verdict.REFUTED, "a conclusion", f"{subject}: PENDING, is {NASTY}"[:400])
    )
    s.record(180.4, found[-1:])
    return s.stored(plan, found)


def inconclusive() -> DrillReport:
    """The steady state was never there."""
    s = Script(BEGUN + timedelta(seconds=500))
    name = "test_agent_crash_is_survived"
    plan = s.begin(name, "When an agent crashes, every workload is Available elsewhere within five minutes.", "node")
    plan |= {"objective_s": 300.0}
    s.say(0.001, "require.begun", "converged(primary)", within_s=300.0, settle_s=0.0)
    s.changed(0.01, "converged(primary)", "PENDING", "120 objects as in Git", "117 of 120 objects as in Git", 117)
    s.say(300.0, "require.ended", "converged(primary)", state="PENDING", expected="120 objects as in Git",
          actual="117 of 120 objects as in Git", met_us=None, not_before_us=None, flaps=0, within_s=300.0, settle_s=0.0,
          waited_s=300.0, detail={})  # fmt: skip
    found = s.judged(300.1)
    found.append(Finding("the drill ran to its end", Verdict.INCONCLUSIVE, "a conclusion",
                         "converged(primary): PENDING 117/120: should be 120 objects, is 117 of 120"))  # fmt: skip
    s.record(300.1, found[-1:])
    return s.stored(plan, found, Verdict.INCONCLUSIVE)


def census(without: Sequence[str] = ()) -> dict[str, Any]:
    nodes = {f"Node k3d-dr-main-{n}": {"uid": f"n{i}"} for i, n in enumerate(("server-0", "agent-0", "agent-1"))}
    pods = {f"Pod cortex-chat/chat-api-{i}": {"uid": f"p{i}", "node": f"k3d-dr-main-agent-{i}"} for i in (0, 1)}
    return {k: v for k, v in {**nodes, **pods}.items() if k not in without}


def node_loss() -> DrillReport:
    """An agent crashes and comes back: waits one after the other, a fault that is healed, and a hold at the end."""
    s = Script(BEGUN + timedelta(seconds=700))
    name = "test_crashed_agent_is_survived"
    plan = s.begin(name, "When an agent crashes, every workload is Available elsewhere within a minute.", "node")
    plan |= {"objective_s": 60.0, "scenario": f"scenarios/test_node_loss.py::{name}"}
    s.wait("require", "converged(primary)", 0.001, 0.2, **IN_GIT, within=300)
    s.say(0.4, "observed", "census", reading="census", value=census())
    agent = "Node k3d-dr-main-agent-0"
    crash = "CrashNode(agent-0)"
    s.fault(crash, 0.5, 0.61, 0.9, "container k3d-dr-main-agent-0 killed", "it is Exited (137)", touches=[agent])
    s.wait(
        "until", "not_ready(agent-0)", 0.91, 22.4, not_before=22.1, expected="NotReady", actual="NotReady", within=180
    )
    s.wait("until", "converged(primary)", 22.41, 41.7, not_before=41.5, **IN_GIT, within=180,
           detail={"applications": {"cortex-chat": us(41.7), "cortex-core": us(33), "cortex-dev": us(-3)}})  # fmt: skip
    s.say(42.0, "heal.begun", crash)
    s.say(43.1, "heal.ended", crash)
    s.wait("until", "ready(agent-0)", 43.2, 49.8, not_before=49.6, expected="Ready", actual="Ready", within=180,
           detail={"nodes": {"k3d-dr-main-agent-0": us(49.8)}})  # fmt: skip
    s.say(50.0, "hold.begun", "unchanged(Pod cortex-core/kept)", lasting_s=10.0)
    s.say(60.0, "hold.ended", "unchanged(Pod cortex-core/kept)", state="MET", expected="nothing doubled",
          actual="nothing doubled", lasting_s=10.0, waited_s=10.0, detail={})  # fmt: skip
    s.say(60.1, "observed", "census", reading="census", value=census(without=["Pod cortex-chat/chat-api-0"]))
    checks = (recovered_within(timedelta(minutes=1), when="converged"), stayed_so(), stayed_within_blast_radius())
    return s.stored(plan, s.judged(60.2, *checks))


def data_loss() -> DrillReport:
    """Git alone brings back no data: how much was lost, and what Git would not have brought back."""
    s = Script(BEGUN + timedelta(seconds=800))
    name = "test_git_alone_brings_back_no_data"
    plan = s.begin(name, "How much written data a rebuild from Git loses is known and said.", "cluster")
    plan |= {"objective_s": 900.0, "scenario": f"scenarios/test_data_loss.py::{name}"}
    lost = [{"identity": "PersistentVolumeClaim cortex-system/data-postgres-0", "why": "its data is in no repository"},
            {"identity": "Secret cortex-chat/made-by-hand", "why": "put in by kubectl"},
            {"identity": f"ConfigMap cortex-dev/{NASTY[:200]}", "why": "put in by kubectl"}]  # fmt: skip
    s.say(3.0, "observed", "loss", reading="loss", value=lost)
    _cluster_lost(s, back=inventory())
    found = s.judged(70.5, recovered_within(timedelta(minutes=15)), everything_came_back(at_least=120))
    figures = {"acknowledged_writes": 412.0, "lost_writes": 37.0, "oldest_lost_age_s": 12.4}
    found.append(Finding("Git alone brings back no data", Verdict.HELD, "every acknowledged write lost",
                         "37 of 412 acknowledged writes lost", (), figures))  # fmt: skip
    s.record(70.5, found[-1:])
    return s.stored(plan, found)


def many(count: int) -> DrillReport:
    """A drill with `count` events, most of them changes with long texts."""
    drill = cluster_loss()
    events = list(drill.history.events)
    model = next(e for e in events if e.kind == "probe.changed" and e.data["state"] == "PENDING")
    for i in range(count - len(events)):
        data = {
            **model.data,
            "actual": f"Deployment cortex-system/worker-{i} has 1 of 2 replicas available; " + "x" * 300,
        }
        events.append(replace(model, seq=len(events), at=timedelta(seconds=28.5 + i * 0.003), data=data))
    records = {"verdict": "HELD", "findings": [f.to_record() for f in drill.findings]}
    return build_drill(drill.plan, History(tuple(events)), records)


def facts() -> dict[str, Any]:
    """A run.json as a session writes it."""
    versions = {"node": "v1.34.1", "argocd": "v3.5.1", "redis": "7.0.15", "coredns": "v1.12.4", "sample": "0.1.0"}
    images = {
        name: {"reference": f"registry.test/{name}:{version}", "version": version, "digest": f"sha256:{i:064x}"}
        for i, (name, version) in enumerate(versions.items(), 1)
    }
    return {
        "schema": 1, "run_id": "4f1c09aa", "begun": "2026-08-14 10:12:00+00:00", "ended": "2026-08-14 10:22:11+00:00",
        "command_line": "pytest scenarios -p no:cacheprovider --no-header --timing fast --images build",
        "harness": {"versions": {"drill": "0.1.0", "pytest": "9.0.1", "kubernetes": "36.0.3"},
                    "commit": "0f3d2c1b0a99887766554433221100ffeeddccbb", "dirty": False},
        "machine": {"system": "Linux-6.1.0-amd64-x86_64-with-glibc2.36", "python": "3.11.7"},
        "timing": FAST, "keep_cluster": "never", "egress": "closed", "nodes": {"servers": 1, "agents": 2},
        "repository": {"source": "fixtures/repos/cortex", "head": "6d1f0c2f5f0a4b7c8d9e0f112233445566778899",
                       "served_at": "http://172.28.0.1:8418/repo.git",
                       "rewrites": [f"argocd-apps/{n}.yaml:9: https://git.example/cortex-gitops.git -> http://172.28.0.1:8418/repo.git"
                                    for n in APPLICATIONS]},
        "network": {"name": "dr-main-4f1c09aa", "subnet": "172.28.0.0/24"},
        "images": {"source": "build", "flavour": "upstream Kubernetes 1.34, built here", "images": images,
                   "k3d": {"version": "v5.9.0", "digest": "sha256:" + "6" * 64}},
        "tools": {"git": "git version 2.39.5", "docker": "20.10.24 / 20.10.24", "k3d": "k3d version v5.9.0"},
        "deviations": ["containers run without the capabilities that this machine's sandbox withholds"],
        "verdicts": {},
    }  # fmt: skip


def preparation() -> History:
    """The run's own timeline."""
    s = Script(BEGUN - timedelta(seconds=60))
    s.say(0, "run.begun", "4f1c09aa", folder="reports/x", command_line="pytest scenarios")
    s.phase("repository", 0.1, 0.62)
    s.phase("machine", 0.63, 1.4)
    s.phase("images", 1.41, 2.2)
    s.phase("network", 2.2, 2.9)
    s.phase(
        "cluster", 3.0, 14.2, [("cluster.api", 3.1, 9.9), ("cluster.nodes", 9.9, 10.8), ("cluster.dns", 10.8, 14.1)]
    )
    s.phase("argocd", 14.2, 25.4)
    s.phase("root", 25.4, 26.2)
    return History(tuple(s.events))


def good_run() -> RunReport:
    return build_run(facts(), [self_heal(), cluster_loss(), twin()], preparation())


def bad_run() -> RunReport:
    return build_run(facts(), [self_heal(), cluster_loss(), refuted(), inconclusive(), twin()], preparation())


def whole_run() -> RunReport:
    """One drill of every kind."""
    drills = [self_heal(), cluster_loss(), node_loss(), data_loss(), refuted(), inconclusive(), twin()]
    return build_run(facts(), drills, preparation())


def console_lines() -> str:
    lines: list[str] = []
    for drill in (self_heal(), cluster_loss(), inconclusive()):
        console = Console()
        lines += [line for event in drill.history for line in [console.line(event)] if line is not None]
    return "\n".join(lines) + "\n"


def goldens() -> dict[str, str]:
    """File name -> what the renderers say today."""
    return {"console.txt": console_lines(), "table-good.txt": table.render(good_run()) + "\n",
            "table-bad.txt": table.render(bad_run()) + "\n", "summary-good.md": markdown.render(good_run()),
            "summary-bad.md": markdown.render(bad_run())}  # fmt: skip


def store(root: Path, drills: Sequence[DrillReport], run_facts: Mapping[str, Any] | None = None) -> Path:
    """The drills as a run folder below `root`, as a session writes it, without its reports."""
    known = {k: v for k, v in (run_facts or facts()).items() if k not in ("schema", "run_id")}
    folder = RunFolder(root, "4f1c09aa", BEGUN)
    folder.write_run(known)
    runs = folder.drill("run")
    for event in preparation():
        runs.append(event)
    runs.close()
    for report in drills:
        made = folder.drill(report.name)
        made.save_plan(report.plan)
        for event in report.history:
            made.append(event)
        made.save_findings(report.verdict.value, report.findings, {"name": report.name})
        made.close()
    return folder.path


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["golden"]:
        GOLDEN.mkdir(exist_ok=True)
        for name, text in goldens().items():
            (GOLDEN / name).write_text(text, encoding="utf-8")
    else:
        write_reports(store(Path(arguments[1]), whole_run().drills))


if __name__ == "__main__":
    main(sys.argv[1:])
