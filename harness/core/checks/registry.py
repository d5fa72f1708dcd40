"""Checks that can be made again: from a stored run, with today's judges, without a cluster.

Here belong how a check's name and arguments become JSON and how they become a check again. A claim takes part by being
a public name of `harness.core.checks`: that package makes each of its factories `restorable`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec

from harness.core.checks.check import Check
from harness.core.verdict import Finding, Verdict

P = ParamSpec("P")
Factory = Callable[..., Check]


def restorable(factory: Callable[P, Check]) -> Callable[P, Check]:
    """`factory`, whose checks say in `spec` by which name and with which arguments they were made."""
    signature = inspect.signature(factory)

    @wraps(factory)
    def made(*args: P.args, **kwargs: P.kwargs) -> Check:
        check = factory(*args, **kwargs)
        given = signature.bind(*args, **kwargs).arguments
        try:
            spec: dict[str, Any] = {"name": factory.__name__, "args": {k: _stored(v) for k, v in given.items()}}
        except TypeError as error:
            spec = {"name": factory.__name__, "unstorable": str(error)}
        return replace(check, spec=spec)

    return made


def restorables(names: Mapping[str, Any], public: Iterable[str]) -> Mapping[str, Factory]:
    """Every public claim among `names`, made restorable, by the name under which its checks are stored."""
    functions = {name: names[name] for name in public if inspect.isfunction(names.get(name))}
    claims = {name: f for name, f in functions.items() if f.__annotations__.get("return") in ("Check", Check)}
    return MappingProxyType({name: restorable(f) for name, f in claims.items()})


def spec_of(check: Check) -> Mapping[str, Any]:
    """What to store of `check`. One that cannot be made again is stored by its claim, so that it can be named."""
    return check.spec or {"claim": check.claim, "unstorable": "it is no claim of harness.core.checks"}


def made_again(spec: Any, known: Mapping[str, Factory]) -> Check:
    """The check that was stored as `spec`. One that cannot be made again is INCONCLUSIVE and says why."""
    stored = spec if isinstance(spec, Mapping) else {}
    name = str(stored.get("name") or stored.get("claim") or spec)
    factory = known.get(name)
    if factory is None or "unstorable" in stored:
        return _lost(name, str(stored.get("unstorable") or "no check of that name is known here"))
    try:
        given = {key: _restored(value, known) for key, value in dict(stored.get("args") or {}).items()}
        spread = [item for key in _many(factory, given) for item in given.pop(key)]
        return factory(*spread, **given)
    except (TypeError, ValueError, KeyError) as error:
        return _lost(name, f"its arguments do not fit: {error}")


def _many(factory: Factory, given: Mapping[str, Any]) -> list[str]:
    """The argument that is spread (`*names`), if it was given: only then is the signature worth its time."""
    if not any(isinstance(value, tuple) for value in given.values()):
        return []
    parameters = inspect.signature(factory).parameters.values()
    return [p.name for p in parameters if p.kind is p.VAR_POSITIONAL and p.name in given]


def _lost(name: str, why: str) -> Check:
    claim = f"the check '{name}' can be made again"
    return Check(claim, lambda _: Finding(claim, Verdict.INCONCLUSIVE, "a check as it was stored", why))


def _stored(value: Any) -> Any:
    """JSON for an argument. Raises TypeError for what cannot be stored."""
    if isinstance(value, timedelta):
        return {"seconds": value.total_seconds()}
    if isinstance(value, Check):
        return {"check": dict(spec_of(value))}
    if isinstance(value, Enum):
        raise TypeError(f"{value!r} is no plain value")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_stored(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {key: _stored(held) for key, held in value.items()}}
    raise TypeError(f"{type(value).__name__} is no plain value")


def _restored(value: Any, known: Mapping[str, Factory]) -> Any:
    if isinstance(value, list):
        return tuple(_restored(item, known) for item in value)
    if not isinstance(value, Mapping):
        return value
    (kind, held), = value.items()  # fmt: skip
    if kind == "seconds":
        return timedelta(seconds=held)
    if kind == "check":
        return made_again(held, known)
    if kind == "mapping":
        return {key: _restored(item, known) for key, item in held.items()}
    raise ValueError(f"{kind!r} is unknown")
