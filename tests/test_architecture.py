"""The rules that hold the house up: who may know whom, and what a scenario may say.

Every rule is a function from a folder to the sentences that it would say about it, so that each is also shown a folder
that breaks it: a rule that cannot fail protects nothing.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From top to bottom. A module may import its own row and what is below it.
LAYERS = (
    {"scenarios", "harness.bench", "harness.bench_drills", "harness.bench_report"},  # the benchmark tells stories too
    {"harness"},  # the public names
    {"harness.cli", "harness.plugin"},
    {"harness.session", "harness.reporting", "harness.rejudging"},
    {
        "harness.drill",
        "harness.testing",
        "harness.diagnostics",
        "harness.facts",
        "harness.fixtures",
        "harness.handover",
    },
    {"harness.report"},
    {"harness.faults", "harness.probes"},
    {"harness.gitops"},
    {"harness.cluster"},
    {"harness.effects"},
    {"harness.core"},
)
# Who may import a library of somebody else's: its one boundary.
BOUNDARIES = {
    "pytest": "harness.plugin",
    "_pytest": "harness.plugin",
    "kubernetes": "harness.cluster",
    "urllib3": "harness.cluster",
    "python_on_whales": "harness.cluster.docker",
    "testinfra": "harness.cluster",
    "tenacity": "harness.effects.waiting",
    "jinja2": "harness.report",
    "subprocess": "harness.effects.proc",
}
TOUCHES_THE_WORLD = {
    "asyncio", "fcntl", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "requests", "selectors",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "urllib",
}  # fmt: skip
SLEEPERS = {"harness.core.clock"}
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 40  # its docstring not counted


@dataclass(frozen=True)
class Module:
    """One file, parsed."""

    name: str
    path: Path
    tree: ast.Module

    def imports(self) -> Iterator[tuple[str, int]]:
        """What it imports by full name, with the line. `from a import b` is both `a` and, perhaps, `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                # A relative import climbs from the package; nobody here needs one.
                base = "." * node.level + (node.module or "")
                yield base, node.lineno
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


@cache
def modules(root: Path, *folders: str) -> tuple[Module, ...]:
    found = []
    for path in sorted(p for folder in folders for p in (root / folder).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


def row(name: str) -> int | None:
    """The layer of a module, or None where nobody has given it one."""
    head = name.split(".")
    key = "scenarios" if head[0] == "scenarios" else ".".join(head[:2])
    return next((n for n, layer in enumerate(LAYERS) if key in layer), None)


# --- the rules -------------------------------------------------------------------------------------------------------


def homeless(root: Path) -> list[str]:
    return [f"{m.name} has no layer: give it one in LAYERS" for m in modules(root, "harness") if row(m.name) is None]


def upward_imports(root: Path) -> list[str]:
    ours = modules(root, "harness", "scenarios")
    names = {m.name for m in ours}
    said = []
    for module in ours:
        for target, line in module.imports():
            if target.startswith("."):
                said.append(f"{module.name}:{line} imports {target}: write the full name")
            elif target in names:
                mine, other = row(module.name), row(target)
                if mine is not None and other is not None and other < mine and not _package_of(target, module):
                    said.append(f"{module.name}:{line} imports {target}, which is above it")
    return said


def _package_of(target: str, module: Module) -> bool:
    # `from harness import x` below the top is upward; importing `harness.core` from `harness.core.text` is not.
    return target != "harness" and module.name.startswith(target + ".")


def foreign_imports(root: Path) -> list[str]:
    said = []
    for module in modules(root, "harness"):
        for target, line in module.imports():
            home = BOUNDARIES.get(target.split(".")[0])
            if home and module.name != home and not module.name.startswith(home + "."):
                said.append(f"{module.name}:{line} imports {target}: that is for {home}")
    return sorted(set(said))


def impure_core(root: Path) -> list[str]:
    said = []
    for module in modules(root, "harness/core"):
        for target, line in module.imports():
            top = target.split(".")[0]
            if top != "harness" and (top not in sys.stdlib_module_names or top in TOUCHES_THE_WORLD):
                said.append(f"{module.name}:{line} imports {target}: core is the standard library without I/O")
        calls = (n.func for n in ast.walk(module.tree) if isinstance(n, ast.Call))
        said += [f"{module.name}:{c.lineno} calls {c.id}: core does no I/O"
                 for c in calls if isinstance(c, ast.Name) and c.id in ("open", "print", "input")]  # fmt: skip
    return sorted(set(said))


def reports_that_know_too_much(root: Path) -> list[str]:
    allowed = ("harness.core", "harness.report", "jinja2", "markupsafe")
    said = []
    for module in modules(root, "harness/report"):
        for target, line in module.imports():
            top = target.split(".")[0]
            if top not in sys.stdlib_module_names and not target.startswith(allowed):
                said.append(f"{module.name}:{line} imports {target}: a report must render from stored files alone")
    return sorted(set(said))


def sleepers(root: Path) -> list[str]:
    said = []
    for module in modules(root, "harness", "scenarios"):
        if module.name in SLEEPERS:
            continue
        said += [f"{module.name}:{line} imports time.sleep" for t, line in module.imports() if t == "time.sleep"]
        said += [f"{module.name}:{n.lineno} uses time.sleep" for n in ast.walk(module.tree)
                 if isinstance(n, ast.Attribute) and n.attr == "sleep" and isinstance(n.value, ast.Name)
                 and n.value.id == "time"]  # fmt: skip
        said += [f"{module.name}:{n.lineno} uses os.{n.attr}" for n in ast.walk(module.tree)
                 if isinstance(n, ast.Attribute) and n.attr in ("system", "popen", "fork", "execv", "execvp")
                 and isinstance(n.value, ast.Name) and n.value.id == "os"]  # fmt: skip
    return said


def circles(root: Path) -> list[str]:
    """Modules that cannot be imported without one another, by what they import at the top of the file."""
    ours = {m.name: m for m in modules(root, "harness") if m.name != "harness"}
    edges = {name: {t for n in m.tree.body if isinstance(n, ast.Import | ast.ImportFrom)
                    for t, _ in Module(name, m.path, ast.Module([n], [])).imports() if t in ours and t != name}
             for name, m in ours.items()}  # fmt: skip
    said, done = [], set[str]()

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            said.append(" imports ".join([*way[way.index(name) :], name]))
        elif name not in done:
            for target in sorted(edges[name]):
                visit(target, (*way, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())
    return said


def undocumented(root: Path) -> list[str]:
    return [
        f"{m.name} does not say what belongs in it"
        for m in modules(root, "harness", "scenarios")
        if not ast.get_docstring(m.tree)
    ]


def overlong(root: Path) -> list[str]:
    sizes = (
        (m.name, len(m.path.read_text(encoding="utf-8").splitlines())) for m in modules(root, "harness", "scenarios")
    )
    return [f"{name} has {size} lines, more than {MOST_LINES}" for name, size in sizes if size > MOST_LINES]


def overlong_functions(root: Path) -> list[str]:
    said = []
    for module in modules(root, "harness", "scenarios"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0]
                size = (node.end_lineno or first.lineno) - first.lineno + 1
                if size > MOST_LINES_OF_A_FUNCTION:
                    said.append(f"{module.name}.{node.name} has {size} lines, more than {MOST_LINES_OF_A_FUNCTION}")
    return said


def code_among_data(root: Path) -> list[str]:
    return [f"{p.relative_to(root)}: fixtures/ is data" for p in sorted((root / "fixtures").rglob("*.py"))]


FORBIDDEN = (
    ast.If,
    ast.IfExp,
    ast.Try,
    ast.TryStar,
    ast.While,
    ast.AsyncFor,
    ast.Match,
    ast.comprehension,
    ast.Lambda,
)


def stories_that_are_programs(root: Path) -> list[str]:
    said = []
    for module in modules(root, "scenarios"):
        if module.path.name == "conftest.py":
            continue
        siblings = {p.stem for p in module.path.parent.glob("test_*.py")}
        for node in ast.walk(module.tree):
            if isinstance(node, FORBIDDEN):
                line = getattr(node, "lineno", "?")
                said.append(f"{module.name}:{line} has {type(node).__name__}: a scenario is a story, not a program")
        for target, line in module.imports():
            top = target.split(".")[0]
            public = target == "harness" or (top == "harness" and target.count(".") == 1)
            if not (public or top in {"__future__", "pytest", *siblings}):
                said.append(f"{module.name}:{line} imports {target}: a scenario knows harness and pytest")
        deep = (
            n
            for n in ast.walk(module.tree)
            if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("harness.")
        )
        said += [f"{module.name}:{n.lineno} imports from {n.module}: take the public name from harness" for n in deep]
    return said


def without_their_twin(root: Path) -> list[str]:
    stories, twins, said = list[str](), list[str](), list[str]()
    for module in modules(root, "scenarios"):
        for node in (n for n in module.tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")):
            mark = _drill_mark(node)
            if mark is None:
                said.append(f"{node.name} is not marked @pytest.mark.drill(...)")
            elif "twin_of" not in mark:
                stories.append(node.name)
            elif not module.path.name.startswith("test_sabotage_"):
                said.append(f"{node.name} is a twin: it belongs in a test_sabotage_*.py")
            else:
                twins.append(mark["twin_of"])
    said += [f"{name} has no twin in a test_sabotage_*.py" for name in stories if name not in twins]
    return said + [f"there is no story {name} for a twin to sabotage" for name in twins if name not in stories]


def _drill_mark(function: ast.FunctionDef) -> dict[str, str] | None:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.drill":
            return {
                k.arg: k.value.value if isinstance(k.value, ast.Constant) else "" for k in decorator.keywords if k.arg
            }  # type: ignore[misc]
    return None


Rule = Callable[[Path], list[str]]
RULES: tuple[Rule, ...] = (
    homeless, upward_imports, foreign_imports, impure_core, reports_that_know_too_much, sleepers, circles, undocumented,
    overlong, overlong_functions, code_among_data, stories_that_are_programs, without_their_twin,
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    assert rule(ROOT) == []


# Each rule beside a file that breaks it, and what it must say.
STORY, TWINS = "scenarios/test_a.py", "scenarios/test_sabotage_a.py"
TWIN = "@pytest.mark.drill(twin_of='test_b')\ndef test_c(): ..."
BREACHES: tuple[tuple[Rule, str, str, str], ...] = (
    (homeless, "harness/attic.py", "", "harness.attic has no layer"),
    (upward_imports, "harness/core/a.py", "from harness.effects import proc", "harness.core.a:1 imports harness.eff"),
    (upward_imports, "harness/gitops/a.py", "def f():\n    import harness.probes.x", "harness.gitops.a:2 imports harn"),
    (upward_imports, "harness/drill.py", "from harness import x", "harness.drill:1 imports harness, which is above it"),
    (upward_imports, "harness/core/a.py", "from . import b", "write the full name"),
    (foreign_imports, "harness/drill.py", "import pytest", "harness.drill:1 imports pytest: that is for harness.plug"),
    (foreign_imports, "harness/cluster/a.py", "from subprocess import run", "that is for harness.effects.proc"),
    (foreign_imports, "harness/gitops/a.py", "import kubernetes.client", "that is for harness.cluster"),
    (impure_core, "harness/core/a.py", "from pathlib import Path", "harness.core.a:1 imports pathlib"),
    (impure_core, "harness/core/a.py", "import yaml", "imports yaml: core is the standard library"),
    (impure_core, "harness/core/a.py", "def f():\n    print(1)", "harness.core.a:2 calls print"),
    (reports_that_know_too_much, "harness/report/a.py", "from harness.drill import D", "harness.report.a:1 imports"),
    (sleepers, "harness/probes/a.py", "import time\ntime.sleep(1)", "harness.probes.a:2 uses time.sleep"),
    (sleepers, "harness/probes/a.py", "from time import sleep", "imports time.sleep"),
    (sleepers, "harness/probes/a.py", "import os\nos.system('x')", "uses os.system"),
    (circles, "harness/core/a.py", "import harness.core.b", "harness.core.b imports harness.core.a"),
    (undocumented, "harness/core/a.py", "import re", "harness.core.a does not say what belongs in it"),
    (overlong, "harness/core/a.py", "\n" * 401, "harness.core.a has 401 lines"),
    (overlong_functions, "harness/core/a.py", "def f():\n" + "    1\n" * 41, "harness.core.a.f has 41 lines"),
    (code_among_data, "fixtures/repos/a.py", "", "fixtures/ is data"),
    (stories_that_are_programs, STORY, "def f():\n    if 1: pass", "scenarios.test_a:2 has If"),
    (stories_that_are_programs, STORY, "try:\n  pass\nfinally:\n  pass", "has Try"),
    (stories_that_are_programs, STORY, "[x for x in y]", "has comprehension"),
    (stories_that_are_programs, STORY, "import kubernetes", "imports kubernetes: a scenario knows"),
    (stories_that_are_programs, STORY, "from harness.cluster.kube import KubeApi", "take the public name"),
    (without_their_twin, STORY, "@pytest.mark.drill()\ndef test_a(): ...", "test_a has no twin"),
    (without_their_twin, STORY, "def test_a(): ...", "test_a is not marked"),
    (without_their_twin, TWINS, TWIN, "there is no story test_b"),
    (without_their_twin, STORY, TWIN, "belongs in a test_sabotage_*.py"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "file", "text", "sentence"), BREACHES, ids=[f"{r.__name__}-{t!r:.40}" for r, _, t, _ in BREACHES]
)
def test_the_rule_can_fail(rule: Rule, file: str, text: str, sentence: str, tmp_path: Path) -> None:
    harmless = {
        "harness/__init__.py": "",
        "harness/effects/proc.py": "",
        "harness/probes/x.py": "",
        "harness/drill.py": "",
    }
    circle = {"harness/core/b.py": "import harness.core.a"} if rule is circles else {}
    for name, content in {**harmless, **circle, file: text}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert [s for s in rule(tmp_path) if sentence in s]


def test_public_names_are_there_and_are_the_ones_that_types_know() -> None:
    harness = importlib.import_module("harness")
    tree = ast.parse((ROOT / "harness/__init__.py").read_text(encoding="utf-8"))
    ours = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("harness.")]
    typed = sorted(alias.name for node in ours for alias in node.names)
    assert sorted(harness.__all__) == typed
    missing = [name for name in harness.__all__ if getattr(harness, name, None) is None]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        harness.nonsense  # noqa: B018 - asking is the test
