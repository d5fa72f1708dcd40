from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from report_sample import NASTY, bad_run, facts, good_run, many

from harness.report import html
from harness.report.model import RunReport, build_run

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


GOOD, BAD = html.render(good_run()), html.render(bad_run())


@pytest.mark.parametrize("text", [GOOD, BAD])
def test_the_page_is_well_formed_with_unique_ids_and_links_that_lead_somewhere(text: str) -> None:
    page = Page(text)
    assert page.problems == []
    ids = page.of("id")
    assert len(ids) == len(set(ids))
    targets = [link[1:] for link in page.of("href") if link.startswith("#")]
    assert len(targets) > 10
    assert set(targets) <= set(ids)


@pytest.mark.parametrize("text", [GOOD, BAD])
def test_the_page_needs_no_script_and_no_network(text: str) -> None:
    page = Page(text)
    assert not {"script", "iframe", "object", "embed", "form", "img", "audio", "video"} & page.tags.keys()
    assert not page.of("src")
    assert [n for _, n, _ in page.attributes if n.startswith("on")] == []
    assert all(re.match(r"#|data:,$|[\w%.-]+/timeline\.jsonl$", link) for link in page.of("href"))
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import", text)


def test_what_the_system_said_is_text_and_nothing_else() -> None:
    page = Page(BAD)
    assert '<script>alert("drill")</script> </style><img src=x onerror=alert(1)>' in page.text
    assert "<script" not in BAD
    assert BAD.count("</style>") == 1
    assert "\x1b" not in BAD
    assert "\u202e" not in BAD
    assert NASTY[:2000] not in page.text


def test_hostile_names_and_facts_are_escaped_too() -> None:
    run = bad_run()
    hostile = {
        **facts(),
        "run_id": NASTY,
        "command_line": NASTY,
        "new": {NASTY: [NASTY]},
        "repository": {"head": NASTY},
    }
    drill = run.drills[0]
    plan = {
        **drill.plan,
        "name": "../<b>&'\"",
        "promise": NASTY,
        "blast_radius": NASTY,
        "twin_of": NASTY,
        "timing": NASTY,
    }
    from harness.report.model import build_drill

    again = build_drill(plan, drill.history, {"verdict": "HELD", "findings": [f.to_record() for f in drill.findings]})
    text = html.render(build_run(hostile, [again, run.drills[2]]))
    page = Page(text)
    assert page.problems == []
    assert not {"script", "img", "b"} & page.tags.keys()
    assert text.count("</style>") == 1
    assert "..%2F" in text  # a name is one step of a path, never more


def test_first_screen_promise_verdict_recovery_objective_profile() -> None:
    page = Page(GOOD)
    head = page.text[: page.text.index("Findings")]
    for told in ("2 of 2 promises held, 1 of 1 sabotage caught.", "A Deployment scaled by hand goes back", "319 ms",
                 "3m00s", "16 ms", "fast", "between 311 ms and 327 ms"):  # fmt: skip
        assert told in head


def test_everything_that_is_asked_of_a_report_is_on_it() -> None:
    text = Page(GOOD).text
    for told in ("Slowest path: argocd → cortex-system, 49.1 s of 1m03s (profile fast)",
                 "Service cortex-dev/code-formatter",
                 "pytest scenarios -p no:cacheprovider --no-header --timing fast --images build",
                 "Closed: nothing in the cluster could reach beyond this machine.",
                 "upstream Kubernetes 1.34, built here",
                 f"sha256:{1:064x}", "argocd-apps/cortex-cicd.yaml:9: https://git.example/cortex-gitops.git",
                 "controller.self.heal.timeout.seconds=0", "Deviations from the standard set-up",
                 "argocd: the image of redis is the one built here",
                 "The last one waited for StatefulSet cortex-system/postgres.", "Linux-6.1.0",
                 "the watch was closed by the server", "drill 0.1.0", "Preparation"):  # fmt: skip
        assert told in text, told


def test_every_picture_says_what_it_shows() -> None:
    page = Page(GOOD)
    described = [v for tag, name, v in page.attributes if tag == "svg" and name in ("aria-label", "aria-hidden")]
    assert len(described) == page.tags["svg"]
    assert page.tags["title"] > page.tags["svg"] - 3  # the axis is hidden: its times are in the tables
    assert "steady for 3.0 s, then harmed for 2.7 s, then recovering for 1m00s, then settled for 3.6 s" in GOOD


def test_events_beyond_the_cap_are_left_out_and_counted_but_evidence_stays() -> None:
    drill = many(3000)
    text = html.render(build_run(facts(), [drill]))
    page = Page(text)
    rows = [i for i in page.of("id") if i.startswith("d1-e")]
    assert len(rows) == html.ROWS_A_DRILL
    assert {f"d1-e{seq}" for f in drill.findings for seq in f.evidence} <= set(rows)
    assert "Left out here: 7 heartbeats, and 2493 events" in page.text


def test_the_size_of_a_page_is_bounded_whatever_happened() -> None:
    assert len(html.render(build_run(facts(), [many(2000) for _ in range(12)])).encode()) < 1_000_000


def test_an_empty_run_is_a_page_too() -> None:
    page = Page(html.render(RunReport({}, ())))
    assert page.problems == []
    assert "No drill was run, so that nothing is proved." in page.text
