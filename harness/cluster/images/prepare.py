"""One door to all sources: `prepare` gives a complete, checked set of images.

Here belong the choice of the source and the putting together of a set. How each source works does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.cluster.images.build import Builder, Targets
from harness.cluster.images.bundle import ensure_bundle
from harness.cluster.images.cache import read_json
from harness.cluster.images.engine import DockerEngine, Engine
from harness.cluster.images.k3dtool import BELOW, OLDEST, k3d_on_path, supported
from harness.cluster.images.keys import file_digest
from harness.cluster.images.model import FLAVOUR_BUILT, FLAVOUR_K3S, ImageRef, ImageSet, ImageSource
from harness.cluster.images.pull import (
    ROLES,
    Pin,
    pins_file,
    preload_tar,
    pull_images,
    read_pins,
    registries,
    registries_answer,
    unpinned,
)
from harness.cluster.images.sets import recall, remember
from harness.core.clock import Clock, SystemClock
from harness.core.errors import ImageUnavailable

# What k3s itself pulls under these names is in the pins; the sample workload is ours alone and always built.
_WORKLOADS = ("argocd", "redis", "coredns", "pause", "sample")


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What every source needs."""

    cache: Path
    progress: Callable[[str], None]
    engine: Engine
    clock: Clock
    folder: Path | None = None
    answers: Callable[[Sequence[str]], bool] = registries_answer
    find_k3d: Callable[[], tuple[Path, str] | None] = k3d_on_path

    def builder(self) -> Builder:
        """A builder for our recipes."""
        return Builder.at(self.cache, self.engine, self.clock, self.progress, self.folder)

    def pins(self) -> tuple[Path, dict[str, Pin]]:
        """The pins and the file they are in."""
        path = self.folder / "pins.yaml" if self.folder else pins_file()
        return path, read_pins(path)


def prepare(
    source: ImageSource,
    *,
    cache: Path,
    progress: Callable[[str], None],
    docker: Engine | None = None,
    clock: Clock | None = None,
    bundle: Path | None = None,
) -> ImageSet:
    """Every image, the k3d command and the Argo CD manifests from `source`; nothing is made that is there.

    `bundle` is the file that BUNDLE loads; without it, the bundle that was loaded last.
    Raises ImageUnavailable (cannot be had, says what to do), EnvironmentUnfit (this machine cannot build),
    ConfigError (an unusable recipe or pin) or ToolMissing.
    """
    engine, clock = docker or DockerEngine(), clock or SystemClock()
    if source is ImageSource.BUNDLE and bundle is not None:
        return ensure_bundle(bundle, cache, progress=progress, docker=engine, clock=clock)
    return prepare_with(source, Context(cache, progress, engine, clock))


def prepare_with(source: ImageSource, context: Context) -> ImageSet:
    """`prepare`, with everything it stands on given: for tests. Raises what `prepare` does."""
    cache, engine = context.cache, context.engine
    if source is ImageSource.BUNDLE:
        stored = recall(cache, "bundle", engine)
        if stored is None:
            raise ImageUnavailable(
                f"expected a loaded bundle whose images are all still in Docker; found none in {cache}; "
                "load one with `drill bundle load FILE`"
            )
        return stored
    if source is ImageSource.PULL:
        return _pulled(context)
    if source is ImageSource.BUILD:
        return _built(context)
    return _automatic(context)


def _automatic(context: Context) -> ImageSet:
    builder = context.builder()
    if not builder.missing(_wanted(builder, context)):
        return _built(context)
    for source in ("bundle", "pull"):
        stored = recall(context.cache, source, context.engine)
        if stored is not None:
            return stored
    _, pins = context.pins()
    if unpinned(pins):
        context.progress(
            f"images: not pulled, because {len(unpinned(pins))} official images are not pinned yet "
            "(`drill images pin`); building them"
        )
        return _built(context)
    if context.answers(registries(pins.values())):
        return _pulled(context)
    context.progress("images: no container registry answers within 3 s; building them")
    return _built(context)


def _wanted(builder: Builder, context: Context) -> Targets:
    everything = builder.everything()
    found = context.find_k3d()
    if found and supported(found[1]):
        return dataclasses.replace(everything, commands=everything.commands - {"k3d"})
    if found:
        wanted = ".".join(map(str, OLDEST)), ".".join(map(str, BELOW))
        context.progress(
            f"images: expected k3d {wanted[0]} or newer, below {wanted[1]}; found {found[1]} at {found[0]}; "
            "using one of our own"
        )
    return everything


def _built(context: Context) -> ImageSet:
    builder = context.builder()
    if "node" not in builder.recipes:
        raise ImageUnavailable("expected a recipe for the node image; found none; use a complete checkout of drill")
    wanted = _wanted(builder, context)
    builder.ensure(wanted)
    refs = _own_refs(builder, [name for name in builder.recipes if builder.recipes[name].kind == "image"])
    k3d, k3d_version, k3d_digest = _k3d(builder, context, wanted)
    return ImageSet(
        source=ImageSource.BUILD.value,
        flavour=FLAVOUR_BUILT,
        node=refs["node"],
        tools=refs["pause"],  # as k3d's tools image its one duty is to stay alive
        argocd=refs["argocd"],
        redis=refs["redis"],
        coredns=refs["coredns"],
        pause=refs["pause"],
        sample=refs["sample"],
        k3d=k3d,
        k3d_version=k3d_version,
        k3d_digest=k3d_digest,
        argocd_manifests=builder.artefacts_path("argocd"),
    )


def _pulled(context: Context) -> ImageSet:
    path, pins = context.pins()
    refs = pull_images(pins, context.engine, context.progress, path, context.clock)
    builder = context.builder()
    # What no registry has: our workload, k3d where it is missing, Argo CD's manifests out of its module.
    wanted = dataclasses.replace(_wanted(builder, context), images=frozenset({"sample"}))
    builder.ensure(wanted)
    refs |= _own_refs(builder, ["sample"])
    extra = tuple(ref for name, ref in refs.items() if name not in (*ROLES, "sample"))
    references = [refs[name].reference for name in _WORKLOADS] + [ref.reference for ref in extra]
    k3d, k3d_version, k3d_digest = _k3d(builder, context, wanted)
    images = ImageSet(
        source=ImageSource.PULL.value,
        flavour=FLAVOUR_K3S,
        node=refs["node"],
        tools=refs["tools"],
        argocd=refs["argocd"],
        redis=refs["redis"],
        coredns=refs["coredns"],
        pause=refs["pause"],
        sample=refs["sample"],
        k3d=k3d,
        k3d_version=k3d_version,
        k3d_digest=k3d_digest,
        argocd_manifests=builder.artefacts_path("argocd"),
        preload=(preload_tar(context.cache, references, context.engine, context.progress),),
        extra=extra,
    )
    remember(context.cache, images, context.engine)
    return images


def _own_refs(builder: Builder, names: Sequence[str]) -> dict[str, ImageRef]:
    recipes = {name: builder.recipes[name] for name in names}
    present = builder.engine.inspect([recipe.image for recipe in recipes.values()])
    return {
        name: ImageRef(name, recipe.image, present[recipe.image].id, recipe.version) for name, recipe in recipes.items()
    }


def _k3d(builder: Builder, context: Context, wanted: Targets) -> tuple[Path, str, str]:
    if "k3d" in wanted.commands:
        path = builder.command_path("k3d")
        record = read_json(path.with_suffix(".json"))
        return path, str(record["version"]), str(record["sha256"])
    found = context.find_k3d()
    if found is None:
        raise ImageUnavailable("expected the k3d on PATH that was there a moment ago; found none; run again")
    return found[0], found[1], file_digest(found[0])
