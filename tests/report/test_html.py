"""The pages, as markup: well formed, self-contained, escaped, complete. As a picture they are looked at elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from report_sample import (
    NASTY,
    bad_run,
    cluster_loss,
    data_loss,
    facts,
    good_run,
    inconclusive,
    many,
    node_loss,
    refuted,
    self_heal,
    twin,
    whole_run,
)

from harness.report import content, html
from harness.report.model import DrillReport, RunReport, build_drill, build_run

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; `problems` lists tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> was not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


RUN = whole_run()
SUITE = html.suite(RUN)
PAGES = {"suite": SUITE, "empty": html.suite(RunReport({}, ())), **{d.title: html.page(RUN, d) for d in RUN.drills}}


def page_of(drill: DrillReport) -> str:
    return html.page(build_run(facts(), [drill]), drill)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_formed_with_unique_ids_and_links_that_lead_somewhere(name: str) -> None:
    page = Page(PAGES[name])
    assert page.problems == []
    ids = page.of("id")
    assert len(ids) == len(set(ids))
    targets = [link[1:] for link in page.of("href") if link.startswith("#")]
    assert set(targets) <= set(ids)
    assert bool(targets) == (name not in ("suite", "empty", "agent_crash_is_survived"))  # nothing was seen there


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_script_and_no_network(name: str) -> None:
    page = Page(PAGES[name])
    assert not {"script", "iframe", "object", "embed", "form", "img", "audio", "video"} & page.tags.keys()
    assert not page.of("src")
    assert [n for _, n, _ in page.attributes if n.startswith("on")] == []
    local = r"#|data:,$|timeline\.jsonl$|\.\./report\.html$|artifacts/[\w%./-]+$|[\w%.-]+/report\.html$"
    assert [link for link in page.of("href") if not re.match(local, link)] == []
    assert "default-src 'none'" in PAGES[name]
    assert not re.search(r"url\(|@import", PAGES[name])


@pytest.mark.parametrize("name", ["deleted_config_is_put_back", "git_alone_brings_back_no_data"])
def test_what_the_system_said_is_text_and_nothing_else(name: str) -> None:
    text = PAGES[name]
    page = Page(text)
    assert '<script>alert("drill")</script> </style><img src=x onerror=alert(1)>' in page.text
    assert "<script" not in text
    assert text.count("</style>") == 1
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert NASTY[:2000] not in page.text


def hostile_drill() -> DrillReport:
    """Every name that may end in a picture, in an attribute or in a link is markup."""
    evil = "\"></title></svg><script>alert(1)</script><b x='"
    drill = node_loss()
    text = drill.history.to_lines()
    for name in ("agent-0", "cortex-chat", "cortex-dev", "converged(primary)", "unchanged", "k3d-dr-main-agent-1"):
        text = text.replace(name, evil.replace('"', '\\"'))
    history = type(drill.history).from_lines(text)
    plan = {**drill.plan, "name": f"../{evil}", "promise": evil, "blast_radius": evil, "timing": evil,
            "scenario": f"scenarios/test_{evil}.py::x"}  # fmt: skip
    records = {"verdict": "HELD", "findings": [f.to_record() for f in drill.findings]}
    made = build_drill(plan, history, records)
    return replace(made, folder=f"..{evil}", artifacts=((f"artifacts/{evil}", 7),), reasons=(evil,))


def test_hostile_names_stay_text_also_in_pictures_and_links() -> None:
    hostile = {
        **facts(),
        "run_id": NASTY,
        "command_line": NASTY,
        "new": {NASTY: [NASTY]},
        "repository": {"head": NASTY},
    }
    drill = hostile_drill()
    assert len(drill.nodes) > 1
    run = build_run(hostile, [drill, replace(drill, twin_of="<b>", verdict=inconclusive().verdict)])
    for text in (html.suite(run), html.page(run, run.drills[0]), html.page(run, run.drills[1])):
        page = Page(text)
        assert page.problems == []
        assert not {"script", "img", "b"} & page.tags.keys()
        assert [n for _, n, _ in page.attributes if n.startswith("on")] == []
        assert text.count("</style>") == 1
    links = [link for link in Page(html.suite(run)).of("href") if link.endswith("report.html")]
    assert links
    assert all(link.count("/") == 1 for link in links)  # a name is one step of a path, never more


def test_the_suite_has_a_row_for_each_drill_twins_apart_and_what_could_not_be_judged_on_top() -> None:
    page = Page(SUITE)
    links = [link for link in page.of("href") if link.endswith("/report.html")]
    assert {d.name for d in RUN.drills} == {link.partition("/")[0] for link in links}
    text = page.text
    order = ["Could not be judged: nothing is proved by this drill", "When an agent crashes, every workload",
             "A Deployment scaled by hand goes back", "Node loss", "Twins", "When one manifest is missing",
             "How to repeat it", "What it ran on"]  # fmt: skip
    places = [text.index(told) for told in order]
    assert places == sorted(places)
    for told in ("4 of 6 promises held, 1 of 1 sabotage caught.", "319 ms", "3m00s", "resolution 16 ms", "> 3m00s",
                 "lost: 37 of 412 writes", "Timing profile: fast."):  # fmt: skip
        assert told in text, told
    assert "Could not be judged" not in html.suite(good_run())


def test_first_screen_of_a_drill_promise_verdict_recovery_objective_profile() -> None:
    page = Page(PAGES["scaled_deployment_is_healed_back"])
    head = page.text[: page.text.index("Findings")]
    for told in ("HELD", "A Deployment scaled by hand goes back", "319 ms", "3m00s", "16 ms", "fast", "took 4.6 s",
                 "between 311 ms and 327 ms", "2026-08-14 10:12 UTC"):  # fmt: skip
        assert told in head


def test_everything_that_is_asked_of_a_drill_is_on_its_page() -> None:
    text = Page(PAGES["cluster_is_rebuilt_from_git_alone"]).text
    for told in ("Slowest path: argocd → cortex-system, 49.1 s of 1m03s (profile fast)",
                 "pytest scenarios -p no:cacheprovider --no-header --timing fast --images build -k "
                 "test_cluster_is_rebuilt_from_git_alone",
                 "Closed: nothing in the cluster could reach beyond this machine.",
                 "upstream Kubernetes 1.34, built here",
                 f"sha256:{1:064x}", "argocd-apps/cortex-cicd.yaml:9: https://git.example/cortex-gitops.git",
                 "controller.self.heal.timeout.seconds=0", "Deviations from the standard set-up",
                 "argocd: the image of redis is the one built here", "120 objects before, 120 after, nothing missing",
                 "The last one waited for StatefulSet cortex-system/postgres.", "Linux-6.1.0",
                 "the watch was closed by the server", "drill 0.1.0"):  # fmt: skip
        assert told in text, told
    assert "Preparation" in Page(SUITE).text
    assert "Service cortex-dev/code-formatter" in Page(PAGES["cluster_loss_with_a_manifest_missing"]).text


def test_what_was_lost_is_said_in_figures_and_by_name_with_the_reason() -> None:
    page = Page(PAGES["git_alone_brings_back_no_data"])
    for told in ("Writes lost 37 of 412 acknowledged; oldest 12.4 s", "What Git alone would not bring back", "(3):",
                 "PersistentVolumeClaim cortex-system/data-postgres-0", "its data is in no repository",
                 "Secret cortex-chat/made-by-hand", "lost writes 37, oldest lost age 12.4 s"):  # fmt: skip
        assert told in page.text, told
    assert "This drill did not count objects or writes." in Page(PAGES["crashed_agent_is_survived"]).text


def test_lanes_for_faults_nodes_applications_and_waits() -> None:
    page = Page(PAGES["crashed_agent_is_survived"])
    told = {value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"}
    for lane in ("CrashNode(agent-0): the fault, healed after 42.5 s",
                 "k3d-dr-main-agent-0: hit, back 49.2 s later", "k3d-dr-main-agent-1: untouched",
                 "cortex-chat: converged 41.1 s after the fault",
                 "cortex-dev: converged before the fault and stayed so",
                 "not_ready(agent-0): met 21.8 s after the fault, awaited for 21.5 s",
                 "unchanged(Pod cortex-core/kept): held 59.4 s after the fault, awaited for 10.0 s"):  # fmt: skip
        assert lane in told, lane
    assert [t for t in told if t.startswith("steady for")] == []  # the state bar begins where it was not yet shown
    assert "left alone, as it had to be 10.0 s" in page.text


def test_collected_files_are_linked() -> None:
    drill = replace(refuted(), artifacts=(("artifacts/node logs.txt", 12_345), ("artifacts/pods.json", 99)))
    page = Page(page_of(drill))
    assert "artifacts/node%20logs.txt" in page.of("href")
    assert "artifacts/node logs.txt 12 kB" in page.text


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_says_what_it_shows(name: str) -> None:
    page = Page(PAGES[name])
    described = [v for tag, key, v in page.attributes if tag == "svg" and key in ("aria-label", "aria-hidden")]
    assert len(described) == page.tags["svg"]


def test_the_state_bar_is_told_in_words() -> None:
    assert "steady for 3.0 s, then harmed for 2.7 s, then recovering for 1m00s, then settled for 3.6 s" in page_of(
        cluster_loss()
    )


def test_events_beyond_the_cap_are_left_out_and_counted_but_evidence_stays() -> None:
    drill = many(3000)
    page = Page(page_of(drill))
    rows = [i for i in page.of("id") if i.startswith("e")]
    assert len(rows) == content.ROWS
    assert {f"e{seq}" for f in drill.findings for seq in f.evidence} <= set(rows)
    assert "Left out here: 7 heartbeats, and 2493 events" in page.text


def test_a_census_is_counted_and_never_printed() -> None:
    whole = {f"Pod cortex-dev/worker-{i}": {"uid": f"canary-{i}"} for i in range(5000)}
    text = node_loss().history.to_lines()
    drill = node_loss()
    events = tuple(replace(e, data={**e.data, "value": whole}) if e.subject == "census" else e for e in drill.history)
    assert "census" in text
    records = {"verdict": "HELD", "findings": [f.to_record() for f in drill.findings]}
    page = page_of(build_drill(drill.plan, type(drill.history)(events), records))
    assert "observed census: 5000 objects" in page
    assert "canary-1" not in page
    assert len(page.encode()) < 60_000


def test_the_size_of_a_page_is_bounded_whatever_happened() -> None:
    assert len(page_of(many(10_000)).encode()) < 1_000_000
    crowd = [replace(d, name=f"{d.name}_{i}") for i in range(60) for d in (self_heal(), twin())]
    assert len(html.suite(build_run(facts(), crowd)).encode()) < 300_000


def test_an_empty_run_is_a_page_too() -> None:
    assert "No drill was run, so that nothing is proved." in Page(PAGES["empty"]).text
    assert "1 of 1 sabotage caught." in Page(html.suite(build_run({}, [twin()]))).text


def test_many_that_could_not_be_judged_are_counted() -> None:
    text = Page(html.suite(build_run(facts(), [inconclusive()] * 20))).text
    assert "nothing is proved by these drills" in text
    assert "and 8 more, in the table below" in text


def test_a_run_of_several_profiles_says_which_is_whose() -> None:
    run = build_run(facts(), [self_heal(), replace(data_loss(), timing="default (x)")])
    assert "Profile" in Page(html.suite(run)).text
    assert "Profile" not in Page(html.suite(good_run())).text.replace("Timing profile", "")
    assert Page(html.suite(bad_run())).problems == []


@pytest.mark.parametrize(
    ("promise", "shown"),
    [
        ("Undone by `git revert` alone.", "Undone by <code>git revert</code> alone."),
        ("A lone ` stays.", "A lone ` stays."),
        ("`<script>` and <b>`", "<code>&lt;script&gt;</code> and &lt;b&gt;`"),
        ("`<script>` and `<b>`", "<code>&lt;script&gt;</code> and <code>&lt;b&gt;</code>"),
    ],
)
def test_code_in_a_promise_is_shown_as_code_and_nothing_else_becomes_markup(promise: str, shown: str) -> None:
    drill = replace(self_heal(), promise=promise)
    if promise.count("`") % 2:
        shown = promise.replace("<", "&lt;").replace(">", "&gt;")
    assert f"<h1>{shown}</h1>" in page_of(drill)


def test_a_recovery_that_counts_from_a_later_fault_says_so() -> None:
    first = self_heal()
    assert ", since" not in page_of(first)
    recovery = first.recovery
    assert recovery is not None
    later = replace(first, recovery=replace(recovery, since="RevertCommit(a bad image)"))
    assert "between 311 ms and 327 ms, since RevertCommit(a bad image)" in page_of(later)


def test_why_it_did_not_converge_is_told_from_the_application_to_the_message() -> None:
    text = Page(PAGES["deleted_config_is_put_back"]).text
    told = ("Why it did not converge", "Application cortex-core", "Wave 0", "Object ConfigMap cortex/settings",
            "Found is missing", "Because a ResourceQuota does not allow it", "Its controller says <script>",
            "Final no: it may heal by itself")  # fmt: skip
    places = [text.index(part) for part in told]
    assert places == sorted(places)
    assert "Why it did not converge" not in PAGES["cluster_is_rebuilt_from_git_alone"]
