"""The pages, looked at as pictures in a real browser: on a desktop, on a phone, in the dark, on paper."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import browser as chromium
import pytest
from browser import Browser, Picture
from report_sample import store, whole_run

from harness.reporting import write_reports

pytestmark = pytest.mark.browser

NAMES = ["report.html", *(f"{d.name}/report.html" for d in whole_run().drills)]
# Everything that sticks out to the right, and by how much; what may be scrolled sideways inside of its box does not.
STICKS_OUT = """[...document.querySelectorAll('body *')].map(e => [e.tagName + '.' + e.getAttribute('class'),
    e.getBoundingClientRect().right - document.documentElement.clientWidth]).filter(e => e[1] > 0.6).slice(0, 5)"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNSEEN = """[...document.querySelectorAll('svg rect, svg circle')].filter(e => getComputedStyle(e).fill === 'none' ||
    (e.getAttribute('class') && getComputedStyle(e).fill === 'rgb(0, 0, 0)')).length"""
OPENED = "document.querySelectorAll('details').forEach(d => d.open = true)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = store(tmp_path_factory.mktemp("reports"), whole_run().drills)
    write_reports(folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = chromium.found()
    assert executable is not None  # see tests/conftest.py: without one these tests are skipped, or fail
    with chromium.browsing(executable, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_sticks_out_nothing_is_loaded_and_the_console_is_silent(
    browser: Browser, run: Path, name: str, width: int
) -> None:
    browser.open(run / name, width=width)
    for unfolded in (False, True):
        if unfolded:
            browser.evaluate(OPENED)
        assert browser.evaluate(STICKS_OUT) == []
        assert browser.evaluate(OVERFLOW) <= 0
    assert browser.complaints() == []
    assert browser.asked_for() == [(run / name).as_uri()]


def test_each_colour_scheme_has_its_own_paper_and_the_same_content(browser: Browser, run: Path) -> None:
    page = run / "test_crashed_agent_is_survived" / "report.html"
    papers = {}
    for dark in (False, True):
        browser.open(page, width=360, height=640, dark=dark)
        colours = browser.picture().colours()
        papers[dark] = max(colours, key=lambda c: colours[c])
        assert len(colours) > 40, "an empty picture"
        assert browser.evaluate(UNSEEN) == 0
    assert min(papers[False]) > 230
    assert max(papers[True]) < 50


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_what_is_behind_it(browser: Browser, run: Path, dark: bool) -> None:
    """WCAG 2: a contrast of 4.5 for text, in both schemes."""
    for name in NAMES:
        browser.open(run / name, width=800, dark=dark)
        assert browser.evaluate(PALE) == [], name


def test_the_timeline_is_drawn_in_the_colours_of_its_legend(browser: Browser, run: Path) -> None:
    browser.open(run / "test_crashed_agent_is_survived" / "report.html", width=1200)
    drawn = browser.evaluate("[...document.querySelectorAll('svg.state rect')].map(e => [e.getAttribute('class'), "
                             "Math.round(e.getBoundingClientRect().width), getComputedStyle(e).fill])")  # fmt: skip
    legend = browser.evaluate("Object.fromEntries([...document.querySelectorAll('.legend i')].map(e => "
                              "[e.className, getComputedStyle(e).backgroundColor]))")  # fmt: skip
    assert [kind for kind, width, _ in drawn if width > 100] == ["harmed", "recovering", "held"]
    assert {kind: colour for kind, _, colour in drawn}.items() <= legend.items()


@pytest.mark.parametrize("name", NAMES)
def test_it_prints_light_and_whole(browser: Browser, run: Path, name: str) -> None:
    browser.open(run / name, width=720, dark=True, media="print")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate(STICKS_OUT) == []
    paper = browser.paper()
    pages = paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ")
    assert paper.startswith(b"%PDF")
    assert 1 <= pages <= 6


PALE = """(() => {
  const linear = v => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const lum = c => { const [r, g, b] = c.map(linear); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const rgb = text => { const m = text.match(/[\\d.]+/g).map(Number);
                        return m.length > 3 && m[3] === 0 ? null : m.slice(0, 3); };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
                                                         if (c) return c; }
                        return [255, 255, 255]; };
  const pale = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
    const svg = e instanceof SVGElement, style = getComputedStyle(e);
    const a = lum(rgb(svg ? style.fill : style.color)), b = lum(behind(e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) pale.push([e.tagName, e.textContent.trim().slice(0, 30), contrast.toFixed(2)]);
  }
  return pale.slice(0, 5);
})()"""


class TestTheEyesThemselves:
    """What cannot see a fault sees none anywhere."""

    def test_they_see_what_is_wrong_with_a_page(self, browser: Browser, tmp_path: Path) -> None:
        page = tmp_path / "bad.html"
        page.write_text("""<body style='margin:0;background:#fff'><img src='missing.png'>
            <div class='wide' style='width:900px;color:#ddd'>pale</div>
            <script>console.error('x'); throw new Error('broken')</script>""")
        browser.open(page, width=360)
        assert browser.evaluate(OVERFLOW) == 540
        assert browser.evaluate(STICKS_OUT)[0] == ["DIV.wide", 540]
        assert [tag for tag, *_ in browser.evaluate(PALE)] == ["DIV"]
        assert len(browser.complaints()) >= 3
        assert len(browser.asked_for()) == 2

    def test_an_empty_page_is_an_empty_picture(self, browser: Browser, tmp_path: Path) -> None:
        page = tmp_path / "empty.html"
        page.write_text("<body style='background:#102030'></body>")
        browser.open(page, width=360, height=200)
        picture = browser.picture()
        assert (picture.width, picture.height) == (360, 200)
        assert set(picture.colours()) == {(0x10, 0x20, 0x30)}

    @pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
    def test_a_png_is_read_whatever_its_filter(self, kind: int) -> None:
        def chunk(name: bytes, data: bytes) -> bytes:
            return len(data).to_bytes(4, "big") + name + data + bytes(4)

        head = (2).to_bytes(4, "big") + (2).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
        lines = bytes([0, 9, 8, 7, 3, 2, 1, kind, 1, 1, 1, 1, 1, 1])
        packed = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
        rows = Picture.decode(b"\x89PNG\r\n\x1a\n" + packed).rows
        second = {0: (1, 1, 1, 1, 1, 1), 1: (1, 1, 1, 2, 2, 2), 2: (10, 9, 8, 4, 3, 2), 3: (5, 5, 4, 5, 4, 3),
                  4: (10, 9, 8, 4, 3, 2)}[kind]  # fmt: skip
        assert rows == (bytes([9, 8, 7, 3, 2, 1]), bytes(second))
