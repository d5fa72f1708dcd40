from __future__ import annotations

from report_sample import cluster_loss, data_loss, inconclusive, self_heal, twin

from harness.report.junit import properties


def test_figures_of_a_recovery() -> None:
    found = dict(properties(self_heal()))
    assert found["drill.verdict"] == "HELD"
    assert found["drill.profile"] == "fast"
    assert float(found["drill.recovery_s"]) == 0.319
    assert float(found["drill.resolution_s"]) == 0.016
    assert float(found["drill.objective_s"]) == 180


def test_phases_applications_and_answers_are_figures_too() -> None:
    found = dict(properties(cluster_loss()))
    assert float(found["drill.phase.argocd_s"]) == 10.5
    assert float(found["drill.converged.cortex-system_s"]) == 62.82
    assert float(found["drill.answered.cortex-chat/chat-api_s"]) == 57.9
    assert found["drill.objects_missing"] == "0"
    assert found["drill.slowest_path"] == "argocd -> cortex-system, 49.1 s"


def test_what_was_not_measured_is_left_out() -> None:
    found = dict(properties(inconclusive()))
    assert found["drill.verdict"] == "INCONCLUSIVE"
    assert not {"drill.recovery_s", "drill.resolution_s", "drill.objects_after"} & found.keys()


def test_a_twin_names_its_story() -> None:
    assert dict(properties(twin()))["drill.twin_of"] == "test_cluster_is_rebuilt_from_git_alone"


def test_lost_writes_are_figures() -> None:
    found = dict(properties(data_loss()))
    assert (found["drill.lost_writes"], found["drill.acknowledged_writes"]) == ("37", "412")
    assert found["drill.lost_oldest_age_s"] == "12.4"
    assert "drill.lost_writes" not in dict(properties(cluster_loss()))
