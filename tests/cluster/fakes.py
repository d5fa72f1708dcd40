"""A Docker engine in memory, for what cleaning and clusters ask of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.cluster.docker import Container, Docker, DockerNetwork
from harness.core.errors import CommandFailed


def container(name: str, labels: Mapping[str, str], **facts: Any) -> Container:
    """A running container with these labels."""
    plain = Container(
        id=f"id-{name}", name=name, image="drill/node:1", labels=dict(labels), running=True, paused=False, exit_code=0,
        pid=1, restarts=0, addresses={}, volumes=(),
    )  # fmt: skip
    return replace(plain, **facts)


def network(name: str, labels: Mapping[str, str]) -> DockerNetwork:
    """A network with these labels."""
    return DockerNetwork(f"id-{name}", name, dict(labels), ("172.28.1.0/24",), "172.28.1.1", "drl-1", ())


@dataclass
class FakeEngine(Docker):
    """Containers, networks and volumes, and what was removed. `stuck` cannot be removed."""

    there: list[Container] = field(default_factory=list)
    nets: list[DockerNetwork] = field(default_factory=list)
    vols: dict[str, Mapping[str, str]] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    removed: list[str] = field(default_factory=list)

    def containers(self, *labels: str, network: str = "") -> tuple[Container, ...]:
        return tuple(c for c in self.there if all(_carries(c.labels, label) for label in labels))

    def container(self, name: str) -> Container | None:
        return next((c for c in self.there if name in (c.name, c.id)), None)

    def networks(self, *labels: str) -> tuple[DockerNetwork, ...]:
        return tuple(n for n in self.nets if all(_carries(n.labels, label) for label in labels))

    def volumes(self, *labels: str) -> tuple[str, ...]:
        return tuple(v for v, marks in self.vols.items() if all(_carries(marks, label) for label in labels))

    def volume_labels(self, name: str) -> Mapping[str, str]:
        return self.vols[name]

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self.vols[name] = dict(labels)

    def remove(self, name: str) -> None:
        self._gone(name)
        self.there = [c for c in self.there if name not in (c.name, c.id)]

    def remove_network(self, name: str) -> None:
        self._gone(name)
        self.nets = [n for n in self.nets if name not in (n.name, n.id)]

    def remove_volume(self, name: str) -> None:
        self._gone(name)
        self.vols.pop(name, None)

    def logs(self, name: str, *, tail: int = 500) -> str:
        return f"what {name} said\n"

    def _gone(self, name: str) -> None:
        if name in self.stuck:
            raise CommandFailed(["docker", "rm", name], 1, "", "device or resource busy")
        self.removed.append(name)


def _carries(marks: Mapping[str, str], label: str) -> bool:
    key, equals, value = label.partition("=")
    return key in marks and (not equals or marks[key] == value)
