"""Whether an app cluster's connection works: what is taken over from Deployment, bindings and heartbeat."""

from dataclasses import replace
from typing import Any

import pytest

from bind_agent.api import conditions
from bind_agent.api.meta import Object
from bind_agent.backend.access import Kind
from bind_agent.backend.controlplane.model import Wanted
from bind_agent.backend.controlplane.working_plan import availability, bindings_ready, konnector_available

pytestmark = pytest.mark.unit

UP = {"type": "Available", "status": "True"}
DOWN = {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "0 of 2"}
STUCK = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": "timed\nout",
}
REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}


def having(*found: dict[str, Any], name: str = "databases.example.org", **metadata: Any) -> Object:
    return {"metadata": {"name": name, **metadata}, "status": {"conditions": list(found)}}


def ready(status: str, severity: str = "", reason: str = "", message: str = "") -> dict[str, Any]:
    return {"type": "Ready", "status": status, "severity": severity, "reason": reason, "message": message}


class TestKonnector:
    @pytest.mark.parametrize(
        ("deployment", "status", "severity", "said"),
        [
            (None, "Unknown", "", "no pod"),
            (having(), "Unknown", "", "no pod"),
            (having(DOWN, {"type": "Progressing", "status": "True"}), "Unknown", "", "no pod"),
            (having(UP), "True", "", ""),
            (having(UP, STUCK), "True", "", ""),
            (having(DOWN, STUCK), "False", "Error", "timed out; look at them with `kubectl -n"),
            (having(DOWN, STUCK, REFUSED), "False", "Error", "quota"),
        ],
    )
    def test_verdicts(
        self, wanted: Wanted, deployment: Object | None, status: str, severity: str, said: str
    ) -> None:
        found = konnector_available(replace(wanted, deploy=True), deployment)
        assert (found.type, found.status, found.severity) == ("KonnectorAvailable", status, severity)
        assert said in found.message

    def test_where_none_is_deployed_none_is_missing(self, wanted: Wanted) -> None:
        assert konnector_available(wanted, None) == conditions.true("KonnectorAvailable")

    def test_what_is_kept_of_a_deployment_does_not_change_with_times_and_counts(self) -> None:
        def deployment(text: str, replicas: int) -> Object:
            progress = {"type": "Progressing", "status": "True", "reason": text, "message": text}
            times = {"lastUpdateTime": text, "lastTransitionTime": text}
            found = having(UP | times, progress | times, {"type": "Else", "status": text})
            found["status"]["readyReplicas"] = replicas
            return found

        assert availability(deployment("a", 1)) == availability(deployment("b", 2))
        kept = availability(having(DOWN, STUCK, REFUSED))
        assert [one["message"] for one in kept["conditions"]] == ["0 of 2", "timed\nout", "quota"]


class TestBindings:
    def test_nothing_asked_for_is_nothing_missing(self, wanted: Wanted) -> None:
        assert bindings_ready(replace(wanted, kinds=()), [], None).status == "True"

    @pytest.mark.parametrize(
        "binding",
        [
            having(name="others.example.org"),
            having(),
            having(ready("Unknown")),
            having(ready("False", "Info", "Pending")),
            having(ready("True"), deletionTimestamp="2026-01-01T00:00:00Z"),
        ],
    )
    def test_it_waits_until_a_konnector_has_spoken(self, wanted: Wanted, binding: Object) -> None:
        found = bindings_ready(wanted, [binding], None)
        assert (found.status, found.severity, found.reason) == ("Unknown", "", "Pending")
        assert "databases.example.org" in found.message

    def test_all_that_work(self, wanted: Wanted) -> None:
        healthy = having({"type": "Healthy", "status": "True"})
        assert bindings_ready(wanted, [having(ready("True"))], healthy) == conditions.true("BindingsReady")

    def test_the_worst_is_told_first(self, wanted: Wanted) -> None:
        both = replace(wanted, kinds=(Kind("g", "a"), Kind("g", "b"), Kind("g", "c")))
        found = bindings_ready(
            both,
            [
                having(ready("False", "Warning", "Mild", "m"), name="a.g"),
                having(ready("False", "Error", "AppClusterUnreachable", "no answer"), name="b.g"),
                having(ready("True"), name="c.g"),
            ],
            None,
        )
        assert (found.severity, found.reason) == ("Error", "AppClusterUnreachable")
        assert found.message == "b.g: no answer (and 1 more)"

    def test_words_of_a_konnector_are_made_fit(self, wanted: Wanted) -> None:
        found = bindings_ready(
            wanted, [having(ready("False", "Error", "\x1b[2J", "x\x1b[2J\n" + "y" * 9999))], None
        )
        assert found.reason == "NotReady"
        assert "\x1b" not in found.message
        assert len(found.message) < 600

    def test_who_is_silent_is_not_believed(self, wanted: Wanted) -> None:
        silent = having(
            {"type": "Healthy", "status": "False", "reason": "HeartbeatTimeout", "message": "since noon"}
        )
        found = bindings_ready(wanted, [having(ready("True"))], silent)
        assert (found.severity, found.reason) == ("Error", "HeartbeatTimeout")
        assert found.message.endswith("since noon")
