"""How far a commit got: pods that fail, a commit that is refused, an Application that is in step."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import ApiRefused, ConfigError, ProvisionFailed
from harness.core.observation import State
from harness.probes.rollout import apply_failed, pod_fails, synced
from harness.probes.state import state
from tests.shopstage import application, shop_stage
from tests.stage import Stage

IMAGE = "shop:none"
API, CONFIG = "Deployment shop/api", "ConfigMap shop/one"
MET, PENDING, BROKEN = State.MET, State.PENDING, State.BROKEN


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The repository of all tests here; each looks at it with a view of its own."""
    with shop_stage(tmp_path_factory.mktemp("shop")) as made:
        made.first = made.repo.head
        made.second = made.repo.commit({"README.md": "hello\n"}, "second")
        yield made


@pytest.fixture
def stage(shop: Any) -> Any:
    fresh = Stage()
    shop.clock, shop.view, shop.api = fresh.clock, fresh.view, fresh.api
    shop.view.all = fresh.view.store.all
    return shop


def pushed(stage: Any, sha: str) -> Any:
    return SimpleNamespace(platform=stage, sha=sha, subject="PushCommit(x)")


def owned(kind: str, name: str, by: str, of: str, **more: Any) -> dict[str, Any]:
    group = "apps/v1" if kind == "ReplicaSet" else "v1"
    owner = [{"kind": by, "name": of, "controller": True, "uid": of}]
    metadata = {
        "namespace": "shop",
        "name": name,
        "resourceVersion": "1",
        "uid": f"uid-{name}",
        "ownerReferences": owner,
    }
    return {"apiVersion": group, "kind": kind, "metadata": metadata, **more}


def pod(name: str = "api-1", image: str = IMAGE, waits: str = "", ready: bool = False, of: str = "api-7d") -> Any:
    waiting = {"waiting": {"reason": waits, "message": "no such image"}} if waits else {}
    status = {"conditions": [{"type": "Ready", "status": str(ready)}],
              "containerStatuses": [{"name": "api", "state": waiting}]}  # fmt: skip
    spec = {"containers": [{"name": "api", "image": image}]}
    return owned("Pod", name, "ReplicaSet", of, spec=spec, status=status)


class TestPodFails:
    def look(self, stage: Any, *pods: Any) -> Any:
        stage.view.event(owned("ReplicaSet", "api-7d", "Deployment", "api"))
        stage.view.event(owned("ReplicaSet", "web-7d", "Deployment", "web"))
        for item in pods:
            stage.view.event(item)
        return pod_fails(stage, API, IMAGE).observe()

    def test_the_reason_and_the_message_are_told(self, stage: Any) -> None:
        arrived = stage.clock.now_ns()
        seen = self.look(stage, pod(waits="ErrImagePull"))
        assert (seen.state, seen.at_ns) == (MET, arrived)
        assert seen.actual == "Pod api-1 waits: ErrImagePull: no such image"

    @pytest.mark.parametrize(
        ("other", "said"),
        [
            (pod(waits="ContainerCreating"), "1 pods with that image, none of them failing yet"),
            (pod(), "1 pods with that image, none of them failing yet"),
            (pod(image="shop:1", waits="CrashLoopBackOff"), "no pod with that image"),
            (pod(waits="ErrImagePull", of="web-7d"), "no pod with that image"),
        ],
        ids=["starting", "no status", "another image", "another workload"],
    )
    def test_what_is_no_such_failure(self, stage: Any, other: Any, said: str) -> None:
        seen = self.look(stage, other)
        assert (seen.state, seen.actual) == (PENDING, said)

    def test_what_is_left_of_an_earlier_commit_tells_nothing(self, stage: Any) -> None:
        left = pod(waits="ImagePullBackOff")
        left["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        seen = self.look(stage, left)
        assert (seen.state, seen.actual) == (PENDING, "no pod with that image")

    def test_an_image_that_runs_is_no_bad_image(self, stage: Any) -> None:
        seen = self.look(stage, pod(ready=True))
        assert (seen.state, seen.actual) == (BROKEN, f"Pod api-1 is ready with image {IMAGE}")

    def test_without_a_cluster_there_is_nothing_to_wake_it(self) -> None:
        class Gone:
            @property
            def view(self) -> Any:
                raise ProvisionFailed("no cluster")

        assert pod_fails(Gone(), API).signal is None  # type: ignore[arg-type]

    @pytest.mark.parametrize("target", ["shop/api", "Deployment api", "Deployment /api", "Service shop/api", ""])
    def test_a_target_is_a_workload(self, stage: Any, target: str) -> None:
        with pytest.raises(ConfigError, match="a workload as in 'Deployment shop/api'"):
            pod_fails(stage, target)


def operation(revision: str, phase: str = "Running", retries: int = 0, refused: str = "") -> dict[str, Any]:
    resource = {"kind": "Service", "namespace": "shop", "name": "api", "status": "SyncFailed", "message": refused}
    return {"phase": phase, "retryCount": retries, "message": "waiting", "operation": {"sync": {"revision": revision}},
            "syncResult": {"revision": revision, "resources": [resource] if refused else []}}  # fmt: skip


class TestApplyFailed:
    def look(self, stage: Any, found: dict[str, Any] | None, attempts: int = 1) -> Any:
        stage.view.event(application(stage.second, "OutOfSync", found))
        return apply_failed(pushed(stage, stage.second), "shop", attempts=attempts).observe()

    def test_what_the_api_said_to_which_object(self, stage: Any) -> None:
        seen = self.look(stage, operation(stage.second, retries=1, refused="port:\n  Invalid value"))
        assert seen.state is MET
        assert seen.actual == "sync Running, 1 attempts failed: Service shop/api: port: Invalid value"

    def test_of_a_long_message_the_end_is_told_too_and_no_file_of_argocd(self, stage: Any) -> None:
        message = f'error when patching "/dev/shm/123": Service "api" is invalid: {"x" * 999}: field is immutable'
        said = self.look(stage, operation(stage.second, retries=1, refused=message)).actual
        assert said.startswith('sync Running, 1 attempts failed: Service shop/api: Service "api" is invalid: x')
        assert said.endswith("field is immutable")
        assert len(said) < 400

    def test_a_sync_that_gave_up_counts_its_last_attempt(self, stage: Any) -> None:
        seen = self.look(stage, operation(stage.second, "Failed", retries=1, refused="no"), attempts=2)
        assert (seen.state, seen.actual.partition(":")[0]) == (MET, "sync Failed, 2 attempts failed")

    def test_not_often_enough(self, stage: Any) -> None:
        assert self.look(stage, operation(stage.second, retries=1, refused="no"), attempts=2).state is PENDING

    def test_the_first_attempt_still_runs(self, stage: Any) -> None:
        assert self.look(stage, operation(stage.second, refused="no")).state is PENDING

    def test_the_failure_of_another_commit_is_not_this_one(self, stage: Any) -> None:
        seen = self.look(stage, operation(stage.first, retries=4, refused="no"))
        assert (seen.state, seen.actual) == (PENDING, f"the last sync was of {stage.first[:10]}")
        assert self.look(stage, None).actual == "the last sync was of nothing"

    def test_a_retry_at_a_newer_commit_is_not_an_attempt_at_the_one_first_asked_for(self, stage: Any) -> None:
        found = operation(stage.second, retries=1, refused="no")
        found["syncResult"]["revision"] = stage.first
        assert self.look(stage, found).state is PENDING

    def test_applied_after_all(self, stage: Any) -> None:
        seen = self.look(stage, operation(stage.second, "Succeeded"))
        assert (seen.state, seen.actual) == (BROKEN, "the sync succeeded: waiting")

    def test_a_missing_application(self, stage: Any) -> None:
        seen = apply_failed(pushed(stage, stage.second), "shop").observe()
        assert (seen.state, seen.actual) == (PENDING, "Application shop is missing")


class TestSynced:
    def look(self, stage: Any, *shown: Any, of: str = "") -> Any:
        stage.view.event(application(*shown))
        return synced(pushed(stage, of or stage.first), "shop").observe()

    def test_equal_to_git_at_the_commit(self, stage: Any) -> None:
        seen = self.look(stage, stage.first, "Synced", operation(stage.first, "Succeeded"))
        assert (seen.state, seen.at_ns) == (MET, stage.clock.now_ns())
        assert seen.actual == f"Synced at {stage.first[:10]}, last sync Succeeded"

    def test_or_at_a_later_one(self, stage: Any) -> None:
        assert self.look(stage, stage.second).state is MET

    def test_but_not_at_an_earlier_one(self, stage: Any) -> None:
        assert self.look(stage, stage.first, of=stage.second).state is PENDING

    def test_a_sync_under_way(self, stage: Any) -> None:
        assert self.look(stage, stage.first, "Synced", operation(stage.first, "Running")).state is PENDING

    def test_out_of_sync_says_why_the_last_sync_failed(self, stage: Any) -> None:
        seen = self.look(stage, stage.first, "OutOfSync", operation(stage.first, "Failed", refused="no"))
        assert seen.state is PENDING
        assert seen.actual == f"OutOfSync at {stage.first[:10]}, last sync Failed: Service shop/api: no"

    def test_the_old_failure_of_what_needed_no_sync_to_be_reverted(self, stage: Any) -> None:
        assert self.look(stage, stage.second, "Synced", operation(stage.first, "Failed", refused="no")).state is MET

    def test_an_application_or_a_commit_that_is_not_there(self, stage: Any) -> None:
        with pytest.raises(ConfigError, match="an Application in Git; found 'web'"):
            synced(pushed(stage, stage.first), "web")
        with pytest.raises(ConfigError, match="a commit that was pushed"):
            synced(pushed(stage, ""), "shop")


class TestState:
    def live(self, stage: Any) -> None:
        for obj in stage.desired():
            stage.api.objects.append({**obj.manifest, "metadata": {**obj.manifest["metadata"], "uid": "u"}})
        stage.api.objects.append(pod(image="shop:1"))
        left = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "left", "uid": "l"}}
        far = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "other", "name": "far", "uid": "f"}}
        stage.api.objects += [left, far]

    def test_the_tree_what_it_renders_to_what_is_live_and_who_runs(self, stage: Any) -> None:
        self.live(stage)
        read = state(stage, "shop").read()
        assert (read["revision"], len(read["tree"])) == (stage.second, 40)
        assert read["rendered"][CONFIG]["data"] == {"level": "info"}
        assert isinstance(read["rendered"]["Application argocd/shop"], str)  # no object of its own: a digest
        assert read["live"][API]["object"]["spec"]["replicas"] == 2
        assert read["live"][API]["uid"] == "u"
        assert read["pods"] == {"api-1": {"uid": "uid-api-1", "of": "api-7d", "images": ["shop:1"]}}

    def test_what_nobody_described_is_part_of_it_in_the_namespaces_of_git_alone(self, stage: Any) -> None:
        self.live(stage)
        read = state(stage, "shop").read()
        assert "ConfigMap shop/left" in read["live"]
        assert "ConfigMap other/far" not in read["live"]

    def test_pods_that_are_going_or_belong_to_a_job_are_no_part_of_it(self, stage: Any) -> None:
        going, of_a_job = pod(name="api-2"), pod(name="job-1")
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        of_a_job["metadata"]["ownerReferences"][0]["kind"] = "Job"
        stage.api.objects += [going, of_a_job]
        assert state(stage, "shop").read()["pods"] == {}

    def test_a_kind_that_is_not_served_is_missing_and_no_error(self, stage: Any) -> None:
        self.live(stage)
        stage.api.served = {"ConfigMap", "Pod"}
        assert API not in state(stage, "shop").read()["live"]

    def test_an_api_that_refuses_is_no_empty_state(self, stage: Any) -> None:
        def refuse(*_: Any) -> Any:
            raise ApiRefused(403, "Forbidden", "not you")

        stage.api.kind = refuse
        with pytest.raises(ApiRefused):
            state(stage, "shop").read()

    def test_an_application_that_is_not_there(self, stage: Any) -> None:
        with pytest.raises(ConfigError, match="an Application in Git; found 'web'"):
            state(stage, "web")
