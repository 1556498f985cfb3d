"""Names of metrics, kept children, and forgetting what is gone."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bind_agent.obs import metrics

pytestmark = pytest.mark.unit


def exposed() -> dict[str, list[dict[str, str]]]:
    """Labels of each sample by name."""
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain")
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_every_metric_has_the_prefix_and_a_unit_or_kind() -> None:
    own = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]

    assert len(own) > 40
    assert len({metric.name for metric in own}) == len(own)
    for metric in own:
        assert metric.name.startswith("klutch_bind_")
        assert metric.name == metric.name.lower()


@pytest.mark.parametrize(
    "name",
    [
        "queue_depth",
        "queue_latency_seconds",
        "reconcile_total",
        "reconcile_duration_seconds",
        "watch_restarts_total",
        "list_total",
        "api_requests_total",
        "objects",
        "conflicts_total",
        "heartbeat_timestamp_seconds",
        "credential_issued_timestamp_seconds",
        "credential_expiry_timestamp_seconds",
        "leader",
        "build_info",
        "event_loop_lag_seconds",
    ],
)
def test_names_that_dashboards_rely_on(name: str) -> None:
    """A name is an interface: changing one breaks somebody's alert."""
    own = {value.name for value in vars(metrics).values() if isinstance(value, metrics.Metric)}

    assert f"klutch_bind_{name}" in own


def test_children_are_kept() -> None:
    assert metrics.RECONCILES("t-kept", "success") is metrics.RECONCILES("t-kept", "success")
    assert metrics.RECONCILES("t-kept", "success") is not metrics.RECONCILES("t-kept", "error")
    assert metrics.LOOP_LAG() is metrics.LOOP_LAG()


def test_a_gone_binding_is_forgotten() -> None:
    for binding in ("t-gone", "t-stays"):
        metrics.OBJECTS(binding, "synced").set(3)
        metrics.CONFLICTS(binding, "ObjectConflict").inc()

    metrics.forget_binding("t-gone")

    left = exposed()
    assert {"binding": "t-stays", "state": "synced"} in left["klutch_bind_objects"]
    assert {"binding": "t-gone", "state": "synced"} not in left["klutch_bind_objects"]
    assert all(labels["binding"] != "t-gone" for labels in left["klutch_bind_conflicts_total"])
    metrics.OBJECTS("t-gone", "synced").set(1)
    assert {"binding": "t-gone", "state": "synced"} in exposed()["klutch_bind_objects"]
    metrics.forget_binding("t-gone")


def test_unknown_label() -> None:
    with pytest.raises(ValueError, match="not in"):
        metrics.OBJECTS.forget(nothing="x")


def test_build_and_process() -> None:
    metrics.describe_build("konnector", "v1.0.0")
    metrics.describe_build("konnector", "v1.0.0")

    found = exposed()
    assert {"component": "konnector", "version": "v1.0.0"}.items() <= found["klutch_bind_build_info"][
        0
    ].items()
    assert "process_start_time_seconds" in found


def test_lag_keeps_the_worst() -> None:
    for seconds in (0.1, 0.7, 0.2):
        metrics.report_lag(seconds)

    body = metrics.exposition()[0].decode()
    assert "klutch_bind_event_loop_lag_seconds 0.2" in body
    assert "klutch_bind_event_loop_lag_max_seconds 0.7" in body
