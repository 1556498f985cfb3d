"""The audit log read as events and as requests."""

import json
from pathlib import Path

import pytest

from bind_agent.devcluster import audit

pytestmark = pytest.mark.unit


def line(ident: str, stage: str = "ResponseComplete", **more: object) -> str:
    event = {
        "kind": "Event",
        "auditID": ident,
        "stage": stage,
        "verb": "patch",
        "requestURI": "/apis/x.example/v1/namespaces/n/things/t/status?force=true",
        "user": {"username": "jane"},
        "userAgent": "test",
        "objectRef": {
            "apiGroup": "x.example",
            "resource": "things",
            "subresource": "status",
            "namespace": "n",
            "name": "t",
        },
        "responseStatus": {"code": 200},
        **more,
    }
    return json.dumps(event) + "\n"


def test_an_event_has_the_fields_that_tests_count_by() -> None:
    event = audit.parse(line("1").encode())
    assert (event.user, event.verb, event.group, event.resource, event.subresource) == (
        "jane",
        "patch",
        "x.example",
        "things",
        "status",
    )
    assert (event.namespace, event.name, event.code, event.user_agent) == ("n", "t", 200, "test")


def test_paths_that_are_no_resource_have_empty_fields() -> None:
    event = audit.parse(line("1", objectRef=None, responseStatus=None).encode())
    assert (event.group, event.resource, event.name, event.code) == ("", "", "", 0)


@pytest.mark.parametrize("text", ["{}", "[]", '{"kind": "EventList"}', "{"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are of no use to anybody
        audit.parse(text.encode())


def test_reading_starts_at_a_mark_and_stops_before_a_half_line(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    assert audit.mark(log) == 0
    assert list(audit.events(log)) == []
    log.write_text(line("1"))
    mark = audit.mark(log)
    with log.open("a") as file:
        file.write(line("2") + line("3")[:40])
    assert [event.audit_id for event in audit.events(log)] == ["1", "2"]
    assert [event.audit_id for event in audit.events(log, since=mark)] == ["2"]


def test_a_watch_is_one_request_with_two_events(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(line("w", "ResponseStarted") + line("p") + line("w"))
    assert len(list(audit.events(log))) == 3
    assert [(each.audit_id, each.stage) for each in audit.requests(log)] == [
        ("w", "ResponseComplete"),
        ("p", "ResponseComplete"),
    ]
