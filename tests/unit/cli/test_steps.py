"""The steps of a binding against a scripted cluster: races, refusals and what stays behind.

Excluded: what a real API server answers (`tests/integration/cli`).
"""

import base64
import io
from collections.abc import Callable
from typing import Any

import pytest

from bind_agent.api import keys, naming
from bind_agent.api.claims import ACCEPTED, decided
from bind_agent.api.resource import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    CRDS,
    DEPLOYMENTS,
    EXPORT_REQUESTS,
    EXPORTS,
    NAMESPACES,
    SECRETS,
    Resource,
)
from cli.binding import dryrun
from cli.binding.claims import parse_claim, wire
from cli.binding.consent import Asker, Policy
from cli.binding.consumer import ConsumerSide
from cli.binding.credential import Kubeconfig, accept
from cli.binding.flow import Flow, Plan
from cli.binding.install import Installer
from cli.binding.objects import secret_manifest
from cli.binding.provider import ProviderSide, Submitted
from cli.binding.request import ExportRequest, Wanted, parse_request
from cli.binding.survey import Standing
from cli.errors import CliError, ExitCode, RequestRefusedError, UnreachableError, UsageError, WaitTimeoutError
from cli.output import Progress

pytestmark = pytest.mark.unit
API = "dbs.example.com"
DELETING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
CLAIM = {"resource": "secrets", "version": "v1", "selector": {"owner": "Provider"}}
SECRET_CLAIM = parse_claim(CLAIM, "")

Key = tuple[str, str]


class Scripted:
    """Objects in memory; `fail` holds errors per (verb, plural), raised one by one."""

    label = "scripted"

    def __init__(self, *objects: tuple[Resource, dict[str, Any]], served: bool = True) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.fail: dict[Key, list[Exception]] = {}
        self.before: dict[Key, Callable[[], None]] = {}
        self.calls: list[Key] = []
        self.is_served = served
        self._number = 0
        for resource, obj in objects:
            self.put(resource, obj)

    def put(self, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        meta = obj.setdefault("metadata", {})
        meta.setdefault("name", f"{meta.get('generateName', 'x')}{self._number}")
        meta.setdefault("uid", f"uid-{self._number}")
        meta["resourceVersion"] = str(self._number)
        self.objects[resource.plural, meta["name"]] = obj
        return obj

    def _call(self, verb: str, resource: Resource) -> None:
        key = (verb, resource.plural)
        self.calls.append(key)
        if key in self.before:
            self.before.pop(key)()
        if errors := self.fail.get(key):
            raise errors.pop(0)

    def wrote(self) -> list[Key]:
        return [call for call in self.calls if call[0] not in {"get", "list"}]

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> dict[str, Any] | None:
        self._call("get", resource)
        return self.objects.get((resource.plural, name))

    def list(self, resource: Resource, **_: Any) -> list[dict[str, Any]]:
        self._call("list", resource)
        return [obj for (plural, _), obj in self.objects.items() if plural == resource.plural]

    def create(self, resource: Resource, obj: dict[str, Any], **_: Any) -> dict[str, Any]:
        self._call("create", resource)
        return self.put(resource, {**obj, "metadata": dict(obj.get("metadata", {}))})

    def apply(self, resource: Resource, obj: dict[str, Any], **_: Any) -> dict[str, Any]:
        self._call("apply", resource)
        return self.put(resource, obj)

    def merge_patch(self, resource: Resource, name: str, patch: dict[str, Any], **_: Any) -> dict[str, Any]:
        self._call("patch", resource)
        obj = self.objects[resource.plural, name]
        if patch["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise refused(409, "Conflict")
        changes = {k: v for k, v in patch.items() if k != "metadata"}
        if "spec" in changes:
            changes["spec"] = {**obj["spec"], **changes["spec"]}
        return self.put(resource, {**obj, **changes})

    def delete(self, resource: Resource, name: str, *, uid: str, **_: Any) -> None:
        self._call("delete", resource)
        self.objects.pop((resource.plural, name), None)

    def served(self, *_: str) -> Resource | None:
        return BINDINGS if self.is_served else None

    def resource_of(self, obj: dict[str, Any]) -> Resource:
        return Resource("", "v1", f"{obj['kind'].lower()}s", kind=obj["kind"])

    def table(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}


def refused(status: int, reason: str = "") -> RequestRefusedError:
    return RequestRefusedError(f"refused {reason}", status=status, reason=reason)


def nap(_: float) -> None:
    pass


def provider_side(cluster: Scripted, stream: io.StringIO | None = None) -> ProviderSide:
    return ProviderSide(cluster, "cns", Progress(stream or io.StringIO()), sleep=nap)  # type: ignore[arg-type]


def consumer_side(cluster: Scripted, stream: io.StringIO | None = None) -> ConsumerSide:
    return ConsumerSide(cluster, Progress(stream or io.StringIO()))  # type: ignore[arg-type]


def request(name: str = API, claims: list[Any] | None = None) -> ExportRequest:
    import json

    entry = {"group": "example.com", "resource": "dbs"} | ({"permissionClaims": claims} if claims else {})
    document = {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_EXPORT_REQUEST,
        "metadata": {"name": name} if name else {},
        "spec": {"resources": [entry]},
    }
    return parse_request(json.dumps(document).encode(), origin="x")


def kubeconfig(token: str = "t", server: str = "https://p.example", namespace: str = "cns") -> Kubeconfig:
    text = f"""
apiVersion: v1
kind: Config
current-context: x
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{token: {token}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u, namespace: {namespace}}}}}]
"""
    return accept(text.encode(), namespace="", allow_private=True)


def stored(
    name: str, given: Kubeconfig, created: str = "2026-01-01T00:00:00Z"
) -> tuple[Resource, dict[str, Any]]:
    obj = secret_manifest(given)
    obj["metadata"] = {"name": name, "creationTimestamp": created}
    return SECRETS, obj


def binding(secret: str, claims: list[Any] | None = None, **meta: Any) -> tuple[Resource, dict[str, Any]]:
    reference = {"namespace": keys.CONSUMER_NAMESPACE, "name": secret, "key": "kubeconfig"}
    spec: dict[str, Any] = {"kubeconfigSecretRef": reference}
    if claims is not None:
        spec["permissionClaims"] = claims
    return BINDINGS, {"metadata": {"name": API, **meta}, "spec": spec}


NAMESPACE = (NAMESPACES, {"metadata": {"name": keys.CONSUMER_NAMESPACE}})
WANTED = Wanted("example.com", "dbs")


def succeeded(cluster: Scripted, name: str = API) -> None:
    obj = cluster.objects[EXPORT_REQUESTS.plural, name]
    cluster.objects[EXPORT_REQUESTS.plural, name] = {**obj, "status": {"phase": "Succeeded"}}


# --- the provider's side ------------------------------------------------------------------------------


def test_a_request_without_a_name_gets_one() -> None:
    cluster = Scripted()
    submitted = provider_side(cluster).submit(request(""), timeout=5)
    assert submitted.obj["metadata"]["name"].startswith("export-")
    assert submitted.created


def test_somebody_creates_the_same_request_between_look_and_write() -> None:
    cluster = Scripted()
    same = request()
    cluster.fail["create", EXPORT_REQUESTS.plural] = [refused(409, "AlreadyExists")]
    cluster.before["create", EXPORT_REQUESTS.plural] = lambda: (
        cluster.put(EXPORT_REQUESTS, same.manifest(name=API)) and None
    )
    assert provider_side(cluster).submit(same, timeout=5).created is False


def test_a_provider_that_goes_on_answering_409_is_asked_less_and_less_often() -> None:
    cluster, pauses = Scripted(), list[float]()
    cluster.fail["create", EXPORT_REQUESTS.plural] = [refused(409, "Conflict")] * 12
    side = ProviderSide(cluster, "cns", Progress(io.StringIO()), sleep=pauses.append)  # type: ignore[arg-type]
    assert side.submit(request(), timeout=60).created
    assert len(pauses) == 12
    assert all(pause > 0 for pause in pauses)
    assert pauses[0] < 0.5
    assert 1.0 < pauses[-1] <= 5.0


def test_a_provider_that_never_ends_answering_409_is_given_up() -> None:
    cluster, pauses = Scripted(), list[float]()
    cluster.fail["create", EXPORT_REQUESTS.plural] = [refused(409, "Conflict")] * 9
    side = ProviderSide(cluster, "cns", Progress(io.StringIO()), sleep=pauses.append)  # type: ignore[arg-type]
    with pytest.raises(RequestRefusedError, match="Conflict"):
        side.submit(request(), timeout=0)
    assert pauses == []


def test_a_request_that_is_taken_at_once_waits_for_nothing() -> None:
    pauses = list[float]()
    side = ProviderSide(Scripted(), "cns", Progress(io.StringIO()), sleep=pauses.append)  # type: ignore[arg-type]
    assert side.submit(request(), timeout=5).created
    assert pauses == []


@pytest.mark.parametrize(
    "existing",
    [
        {"spec": None},
        {"spec": {"resources": [{"resource": "others", "group": "example.com"}]}},
        {"spec": {"resources": [{"resource": "dbs", "group": "example.com"}]}, "status": {"phase": "Failed"}},
        {
            "spec": {"resources": [{"resource": "dbs", "group": "example.com"}]},
            "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        },
        {"spec": {"resources": [{"resource": "dbs", "group": "example.com", "permissionClaims": ["odd"]}]}},
    ],
)
def test_a_taken_name_is_stepped_around(existing: dict[str, Any]) -> None:
    existing = {**existing, "metadata": {"name": API, **existing.get("metadata", {})}}
    cluster = Scripted((EXPORT_REQUESTS, existing))
    submitted = provider_side(cluster).submit(request(), timeout=5)
    assert submitted.created
    assert submitted.obj["metadata"]["name"].startswith(f"{API}-")


def test_the_same_request_with_the_servers_defaults_is_taken_up() -> None:
    claim = {**CLAIM, "selector": {"owner": "Provider", "names": ["*"], "namespaces": ["*"]}, "read": {}}
    spec = {"resources": [{"resource": "dbs", "group": "example.com", "permissionClaims": [claim]}]}
    cluster = Scripted((EXPORT_REQUESTS, {"metadata": {"name": API}, "spec": spec}))
    assert provider_side(cluster).submit(request(claims=[CLAIM]), timeout=5).created is False


@pytest.mark.parametrize(
    ("status", "words"), [(404, "does not take requests"), (401, "refused"), (422, "refused")]
)
def test_a_provider_that_refuses_the_request(status: int, words: str) -> None:
    cluster = Scripted()
    cluster.fail["create", EXPORT_REQUESTS.plural] = [refused(status)]
    with pytest.raises(CliError, match=words):
        provider_side(cluster).submit(request(), timeout=5)


def test_a_provider_that_restarts_is_waited_for() -> None:
    cluster, stream = Scripted(), io.StringIO()
    side = provider_side(cluster, stream)
    submitted = side.submit(request(), timeout=5)
    cluster.fail["get", EXPORT_REQUESTS.plural] = [
        UnreachableError("no connection"),
        UnreachableError("no connection"),
    ]
    cluster.before["get", EXPORT_REQUESTS.plural] = lambda: succeeded(cluster)
    assert side.wait(submitted, timeout=5)["status"]["phase"] == "Succeeded"
    assert "waiting for the provider: no connection" in stream.getvalue()


def test_the_providers_state_is_told_while_waiting() -> None:
    conditions = [{"type": "ExportsReady", "status": "False", "message": "no such \x1b CRD"}, "odd"]
    pending = {"metadata": {"name": API}, "spec": {}, "status": {"conditions": conditions}}
    cluster = Scripted((EXPORT_REQUESTS, pending))
    with pytest.raises(WaitTimeoutError, match=r"the provider says: no such \\x1b CRD"):
        provider_side(cluster).wait(Submitted(pending, created=True), timeout=-1)


def test_a_failed_request_without_words() -> None:
    failed = {"metadata": {"name": API}, "status": {"phase": "Failed"}}
    cluster = Scripted((EXPORT_REQUESTS, failed))
    with pytest.raises(CliError, match="no reason given"):
        provider_side(cluster).wait(Submitted(failed, created=True), timeout=5)


def test_withdrawing() -> None:
    cluster = Scripted()
    side = provider_side(cluster)
    mine = side.submit(request(), timeout=5)
    cluster.fail["delete", EXPORT_REQUESTS.plural] = [refused(403)]
    assert side.withdraw(mine) == f"the request cns/{API} on the provider"
    assert side.withdraw(mine) == ""
    assert side.withdraw(Submitted(mine.obj, created=False)) == ""


MAPS_CLAIM = {**CLAIM, "resource": "configmaps"}


def answered(*entries: Any) -> dict[str, Any]:
    return {"spec": {"resources": list(entries)}, "status": {"phase": "Succeeded"}}


def test_claims_come_from_the_export() -> None:
    side = provider_side(
        Scripted((EXPORTS, {"metadata": {"name": API}, "spec": {"permissionClaims": [CLAIM]}}))
    )
    for request_ in (None, answered()):
        offer = side.offered(WANTED, request_)
        assert (offer.claims, offer.certain) == ([SECRET_CLAIM], True)


def test_where_the_export_may_not_be_read_the_request_and_the_binding_tell() -> None:
    cluster, stream = Scripted(), io.StringIO()
    side = provider_side(cluster, stream)
    cluster.fail["get", EXPORTS.plural] = [refused(403)] * 5
    entry = {"group": "example.com", "resource": "dbs", "permissionClaims": [MAPS_CLAIM]}
    offer = side.offered(WANTED, answered("odd", {**entry, "resource": "x"}, entry))
    assert ([claim.resource for claim in offer.claims], offer.certain) == (["configmaps"], False)
    assert "cannot be read" in stream.getvalue()
    assert side.offered(WANTED, answered({**entry, "permissionClaims": None})).claims == []
    assert side.offered(WANTED, {"spec": {}}).claims == []
    earlier = [decided(SECRET_CLAIM, ACCEPTED), decided(parse_claim(MAPS_CLAIM, ""), ACCEPTED)]
    offer = side.offered(WANTED, answered(entry), earlier)
    assert [claim.resource for claim in offer.claims] == ["configmaps", "secrets"]
    # A dry run knows the request only.
    offer = side.offered(Wanted("example.com", "dbs", (SECRET_CLAIM,)), None)
    assert (offer.claims, offer.certain) == ([SECRET_CLAIM], False)


def test_before_an_answer_a_missing_export_says_nothing_and_afterwards_everything() -> None:
    wanted = Wanted("example.com", "dbs", (SECRET_CLAIM,))
    offer = provider_side(Scripted()).offered(wanted, None)
    assert (offer.claims, offer.certain) == ([SECRET_CLAIM], False)
    going = {"metadata": {"name": API, **DELETING}, "spec": {"permissionClaims": [CLAIM]}}
    for cluster in (Scripted(), Scripted((EXPORTS, going))):
        with pytest.raises(CliError, match=f"the provider has ended {API}") as caught:
            provider_side(cluster).offered(wanted, answered())
        assert caught.value.next_step
    failing = Scripted()
    failing.fail["get", EXPORTS.plural] = [refused(500)]
    with pytest.raises(RequestRefusedError):
        provider_side(failing).offered(wanted, answered())


def test_a_malformed_export_is_the_providers_fault() -> None:
    cluster = Scripted(
        (EXPORTS, {"metadata": {"name": API}, "spec": {"permissionClaims": [{"resource": 1}]}})
    )
    with pytest.raises(CliError, match="export is malformed: claim 1"):
        provider_side(cluster).offered(WANTED, None)
    bare = Scripted((EXPORTS, {"metadata": {"name": API}}))
    assert provider_side(bare).offered(WANTED, None).claims == []


def granted(*exports: tuple[Resource, dict[str, Any]]) -> Scripted:
    spec = {"resources": [{"resource": "dbs", "group": "example.com"}]}
    status = {"phase": "Succeeded"}
    return Scripted((EXPORT_REQUESTS, {"metadata": {"name": API}, "spec": spec, "status": status}), *exports)


@pytest.mark.parametrize("meta", [None, DELETING], ids=["gone", "going"])
def test_a_request_whose_export_has_ended_is_made_anew(meta: dict[str, str] | None) -> None:
    going = [(EXPORTS, {"metadata": {"name": API, **meta}})] if meta else []
    cluster, stream = granted(*going), io.StringIO()
    submitted = provider_side(cluster, stream).submit(request(), timeout=5)
    assert submitted.created
    assert submitted.obj["metadata"]["name"].startswith(f"{API}-")
    assert f"the provider has ended {API} since" in stream.getvalue()


def test_a_request_whose_export_stands_or_may_not_be_read_is_taken_up() -> None:
    export = (EXPORTS, {"metadata": {"name": API}})
    assert provider_side(granted(export)).submit(request(), timeout=5).created is False
    hidden = granted()
    hidden.fail["get", EXPORTS.plural] = [refused(403)]
    assert provider_side(hidden).submit(request(), timeout=5).created is False


@pytest.mark.parametrize(
    ("spec", "shown"),
    [({"providerPrettyName": "ACME \x1b"}, "ACME \\x1b"), ({}, "the provider"), (None, "the provider")],
)
def test_pretty_name(spec: Any, shown: str) -> None:
    cluster = Scripted((CLUSTER_BINDINGS, {"metadata": {"name": "cluster"}, "spec": spec}))
    assert provider_side(cluster).pretty_name() == shown
    cluster.fail["get", CLUSTER_BINDINGS.plural] = [refused(403)]
    assert provider_side(cluster).pretty_name() == "the provider"


# --- the survey ---------------------------------------------------------------------------------------


def test_an_empty_cluster_holds_nothing() -> None:
    survey = consumer_side(Scripted(served=False)).survey([WANTED], kubeconfig())
    assert (survey.served, survey.namespace, survey.secret) == (None, False, None)
    assert survey.standings == (Standing(WANTED, None, None),)
    assert survey.standings[0].claims == []


def test_the_secret_of_the_binding_wins_then_the_named_one_then_the_oldest() -> None:
    given = kubeconfig()
    secrets = [
        stored("b", kubeconfig("other"), "2026-01-02T00:00:00Z"),
        stored("a", given),
        stored("foreign", kubeconfig(namespace="else")),
        stored("elsewhere", kubeconfig(server="https://q.example")),
        (SECRETS, {"metadata": {"name": "odd"}, "data": {"kubeconfig": base64.b64encode(b"{").decode()}}),
    ]
    side = consumer_side(Scripted(NAMESPACE, *secrets))

    def chosen(survey: Any) -> str:
        return str(survey.secret["metadata"]["name"])

    assert chosen(side.survey([WANTED], given)) == "a"
    assert chosen(side.survey([WANTED], given, prefer="b")) == "b"
    assert chosen(side.survey([WANTED], given, prefer="foreign")) == "a"
    bound = consumer_side(Scripted(NAMESPACE, *secrets, binding("b")))
    assert chosen(bound.survey([WANTED], given, prefer="a")) == "b"


ELSEWHERE = {"kubeconfigSecretRef": {"namespace": "default", "name": "gone", "key": "kubeconfig"}}


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        (
            [(NAMESPACES, {"metadata": {"name": keys.CONSUMER_NAMESPACE, **DELETING}})],
            "namespace .* being deleted",
        ),
        ([NAMESPACE, stored("a", kubeconfig()), binding("a", **DELETING)], "binding .* being deleted"),
        ([NAMESPACE, stored("a", kubeconfig(namespace="else")), binding("a")], "another provider"),
        (
            [NAMESPACE, (BINDINGS, {"metadata": {"name": API}, "spec": ELSEWHERE})],
            "another provider",
        ),
        ([NAMESPACE, (BINDINGS, {"metadata": {"name": API}})], "another provider"),
        ([NAMESPACE, (CRDS, {"metadata": {"name": API}})], "does not belong to a binding"),
        (
            [NAMESPACE, (CLUSTERROLES, {"metadata": {"name": f"klutch-bind-binding-{API}"}})],
            "of other origin",
        ),
    ],
)
def test_what_ends_the_command_before_any_write(objects: list[Any], words: str) -> None:
    cluster = Scripted(*objects)
    with pytest.raises(CliError, match=words) as caught:
        consumer_side(cluster).survey([WANTED], kubeconfig())
    assert caught.value.next_step
    assert cluster.wrote() == []


def _holding(data: Any) -> tuple[Resource, dict[str, Any]]:
    return SECRETS, {"metadata": {"name": "a"}, "data": data}


def _encoded(text: bytes) -> dict[str, str]:
    return {"kubeconfig": base64.b64encode(text).decode()}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "nothing under the key kubeconfig"),
        ({}, "nothing under the key kubeconfig"),
        ({"kubeconfig": ""}, "nothing under the key kubeconfig"),
        ({"other": "eA=="}, "nothing under the key kubeconfig"),
        ({"kubeconfig": "no base64!"}, "nothing under the key kubeconfig"),
        (_encoded(b"{"), "Malformed: the kubeconfig cannot be read"),
        (_encoded(kubeconfig().document().replace(b"https:", b"http:")), "PlainHTTPNotAllowed"),
    ],
)
def test_a_stored_secret_without_a_usable_kubeconfig_is_called_that(data: Any, why: str) -> None:
    cluster = Scripted(NAMESPACE, _holding(data), binding("a"))
    with pytest.raises(CliError, match="Secret klutch-bind/a, which holds no usable kubeconfig") as caught:
        consumer_side(cluster).survey([WANTED], kubeconfig())
    assert why in caught.value.message
    assert "provider, or" not in caught.value.message
    assert "kubectl delete secret -n klutch-bind a" in caught.value.next_step
    assert cluster.wrote() == []
    # What the next step says works.
    cluster.objects.pop((SECRETS.plural, "a"))
    side = consumer_side(cluster)
    survey = side.survey([WANTED], kubeconfig())
    assert side.store_credential(survey, kubeconfig()) == ("a", ["Secret klutch-bind/a"])


MOVED = "https://moved.example"


def test_a_binding_that_leads_to_the_same_namespace_elsewhere_is_a_move() -> None:
    cluster = Scripted(
        NAMESPACE, stored("a", kubeconfig()), stored("b", kubeconfig(server=MOVED)), binding("a")
    )
    side = consumer_side(cluster)
    survey = side.survey([WANTED], kubeconfig("new", MOVED))
    assert survey.move is not None
    assert (survey.move.secret, survey.move.old.checked.server) == ("a", "https://p.example")
    # The reference of a binding never changes, so another Secret for the new address does not help it.
    assert survey.secret is not None
    assert survey.secret["metadata"]["name"] == "a"
    assert cluster.wrote() == []
    told = f"Secret klutch-bind/a (moved to {MOVED})"
    assert side.store_credential(survey, kubeconfig("new", MOVED)) == ("a", [told])
    assert side.survey([WANTED], kubeconfig("new", MOVED)).move is None


def test_a_secret_of_the_old_address_that_no_binding_here_uses_is_not_moved() -> None:
    cluster = Scripted(NAMESPACE, stored("a", kubeconfig()))
    survey = consumer_side(cluster).survey([WANTED], kubeconfig("new", MOVED))
    assert (survey.move, survey.secret) == (None, None)


def test_a_secret_that_leads_to_a_third_place_by_now_is_not_written() -> None:
    cluster = Scripted(NAMESPACE, stored("a", kubeconfig()), binding("a"))
    side = consumer_side(cluster)
    survey = side.survey([WANTED], kubeconfig("new", MOVED))
    uid = cluster.objects["secrets", "a"]["metadata"]["uid"]
    cluster.put(*stored("a", kubeconfig(server="https://third.example")))["metadata"]["uid"] = uid
    with pytest.raises(CliError, match="changed or replaced"):
        side.store_credential(survey, kubeconfig("new", MOVED))
    assert cluster.wrote() == []


def test_another_namespace_is_refused_with_where_the_binding_leads() -> None:
    cluster = Scripted(NAMESPACE, stored("a", kubeconfig(namespace="else")), binding("a"))
    with pytest.raises(CliError, match=r"namespace else at https://p\.example") as caught:
        consumer_side(cluster).survey([WANTED], kubeconfig())
    assert "with it goes everything that is bound" in caught.value.next_step


def test_a_move_is_agreed_to_before_anything_is_written_anywhere() -> None:
    provider, consumer = answering(), Scripted(NAMESPACE, stored("a", kubeconfig()), binding("a"))
    with pytest.raises(CliError, match="no answer"):
        flow(provider, consumer).run(plan(kubeconfig=kubeconfig("new", MOVED)))
    assert consumer.wrote() == []
    assert provider.wrote() == [("create", "selfsubjectreviews")]
    provider.objects.clear()
    outcome = flow(provider, consumer).run(plan(kubeconfig=kubeconfig("new", MOVED), move_provider=True))
    assert f"Secret klutch-bind/a (moved to {MOVED})" in outcome.written


def test_an_unusable_secret_that_no_binding_uses_is_in_nobodys_way() -> None:
    cluster = Scripted(NAMESPACE, _holding({}), stored("b", kubeconfig()), binding("b"))
    survey = consumer_side(cluster).survey([WANTED], kubeconfig())
    assert survey.secret is not None
    assert survey.secret["metadata"]["name"] == "b"


@pytest.mark.parametrize(("uid", "passes"), [("mine", True), ("other", False)])
def test_the_crd_must_belong_to_this_very_binding(uid: str, passes: bool) -> None:
    owner = {"apiVersion": "klutch.anynines.com/v9", "kind": keys.KIND_BINDING, "name": API, "uid": uid}
    crd = (CRDS, {"metadata": {"name": API, "ownerReferences": [owner]}})
    cluster = Scripted(NAMESPACE, stored("a", kubeconfig()), binding("a", uid="mine"), crd)
    if passes:
        consumer_side(cluster).survey([WANTED], kubeconfig())
    else:
        with pytest.raises(CliError, match="does not belong"):
            consumer_side(cluster).survey([WANTED], kubeconfig())


def test_apis_bound_through_two_secrets_are_not_mixed() -> None:
    other = Wanted("example.com", "others")
    _, second = binding("b")
    second["metadata"]["name"] = other.name
    cluster = Scripted(
        NAMESPACE, stored("a", kubeconfig()), stored("b", kubeconfig()), binding("a"), (BINDINGS, second)
    )
    with pytest.raises(CliError, match="different Secrets: a, b"):
        consumer_side(cluster).survey([WANTED, other], kubeconfig())


def test_a_secret_that_is_gone_is_made_again_under_the_name_that_the_binding_refers_to() -> None:
    given = kubeconfig()
    cluster = Scripted(NAMESPACE, stored("a", given), binding("gone"))
    side = consumer_side(cluster)
    survey = side.survey([WANTED], given, prefer="a")
    assert (survey.secret, survey.missing) == (None, "gone")
    assert side.store_credential(survey, given) == ("gone", ["Secret klutch-bind/gone"])
    made = cluster.objects[SECRETS.plural, "gone"]
    assert base64.b64decode(made["data"]["kubeconfig"]) == given.document()
    again = side.survey([WANTED], given)
    assert again.missing == ""
    assert side.store_credential(again, given) == ("gone", [])


def test_only_one_secret_that_is_gone_is_made_again() -> None:
    other = Wanted("example.com", "others")
    _, second = binding("b")
    second["metadata"]["name"] = other.name
    cluster = Scripted(NAMESPACE, stored("b", kubeconfig()), binding("gone"), (BINDINGS, second))
    with pytest.raises(CliError, match="different Secrets: b, gone"):
        consumer_side(cluster).survey([WANTED, other], kubeconfig())


# --- writing on the app cluster -----------------------------------------------------------------------


def test_the_namespace_may_appear_meanwhile() -> None:
    cluster = Scripted()
    cluster.fail["create", NAMESPACES.plural] = [refused(409, "AlreadyExists"), refused(403)]
    side = consumer_side(cluster)
    assert side.ensure_namespace() == []
    with pytest.raises(RequestRefusedError):
        side.ensure_namespace()
    assert side.ensure_namespace() == ["Namespace klutch-bind"]


def test_refreshing_waits_for_its_turn_and_keeps_what_is_equal() -> None:
    cluster = Scripted(NAMESPACE, stored("a", kubeconfig("old")))
    side = consumer_side(cluster)
    survey = side.survey([WANTED], kubeconfig("new"))
    # Somebody writes between our read and our patch, once.
    cluster.before["patch", SECRETS.plural] = lambda: cluster.put(*stored("a", kubeconfig("mid"))) and None
    cluster.objects["secrets", "a"]["metadata"]["uid"] = "uid-2"
    with pytest.raises(CliError, match="changed or replaced"):
        # ... by replacing the Secret altogether: this one is not ours to write any more.
        side.store_credential(survey, kubeconfig("new"))
    cluster = Scripted(NAMESPACE, stored("a", kubeconfig("old")))
    side = consumer_side(cluster)
    survey = side.survey([WANTED], kubeconfig("new"))
    cluster.fail["patch", SECRETS.plural] = [refused(409, "Conflict")]
    assert side.store_credential(survey, kubeconfig("new")) == ("a", ["Secret klutch-bind/a (refreshed)"])
    assert side.store_credential(survey, kubeconfig("new")) == ("a", [])


def test_conflicts_end_some_time_and_refusals_at_once() -> None:
    cluster = Scripted(NAMESPACE, stored("a", kubeconfig("old")))
    side = consumer_side(cluster)
    survey = side.survey([WANTED], kubeconfig("new"))
    cluster.fail["patch", SECRETS.plural] = [refused(409, "Conflict")] * 9
    with pytest.raises(RequestRefusedError, match="Conflict"):
        side.store_credential(survey, kubeconfig("new"))
    assert cluster.wrote() == [("patch", "secrets")] * 4
    cluster.fail["patch", SECRETS.plural] = [refused(403, "Forbidden")]
    with pytest.raises(RequestRefusedError, match="Forbidden"):
        side.store_credential(survey, kubeconfig("new"))


ENTRIES = [decided(SECRET_CLAIM, ACCEPTED)]


def test_claims_of_a_binding_are_updated_on_what_stands_now() -> None:
    cluster = Scripted(binding("a"))
    side = consumer_side(cluster)
    standing = Standing(WANTED, dict(cluster.objects[BINDINGS.plural, API]))
    # The konnector writes status all the time: another version is no obstacle.
    cluster.objects[BINDINGS.plural, API]["metadata"]["resourceVersion"] = "77"
    obj, written = side.write_binding(BINDINGS, standing, ENTRIES, secret="a")
    assert written == ["APIServiceBinding dbs.example.com (claims updated)"]
    assert obj["spec"]["permissionClaims"] == wire(ENTRIES)


@pytest.mark.parametrize("change", ["claims", "uid", "gone"])
def test_a_binding_that_changed_under_the_question_is_not_written(change: str) -> None:
    cluster = Scripted(binding("a"))
    standing = Standing(WANTED, dict(cluster.objects[BINDINGS.plural, API]))
    if change == "gone":
        cluster.objects.clear()
    else:
        uid = standing.binding["metadata"]["uid"] if change == "claims" else "other"  # type: ignore[index]
        cluster.put(*binding("a", wire(ENTRIES), uid=uid))
    with pytest.raises(CliError, match="meanwhile"):
        consumer_side(cluster).write_binding(BINDINGS, standing, ENTRIES, secret="a")
    assert cluster.wrote() == []


def test_a_status_that_cannot_be_written_does_not_matter() -> None:
    cluster = Scripted()
    cluster.fail["patch", BINDINGS.plural] = [refused(403)]
    _, written = consumer_side(cluster).write_binding(BINDINGS, Standing(WANTED, None), ENTRIES, secret="a")
    assert written == ["APIServiceBinding dbs.example.com"]


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (("kube-system", "default", "klutch-bind"), "kube-system"),
        (("default", "klutch-bind"), "default"),
        (("klutch-bind",), "klutch-bind"),
    ],
    ids=["usual", "workspace", "bare-workspace"],
)
def test_copies_are_looked_for_by_the_identity_that_the_konnector_takes(
    there: tuple[str, ...], found: str
) -> None:
    cluster = Scripted(*((NAMESPACES, {"metadata": {"name": name}}) for name in there))
    assert consumer_side(cluster).standing_for()["metadata"]["name"] == found
    selectors: list[Any] = []
    cluster.list = lambda *_, **given: selectors.append(given["label_selector"]) or []  # type: ignore[method-assign,func-returns-value]
    assert not consumer_side(cluster).has_copies(kubeconfig(), [decided(SECRET_CLAIM, ACCEPTED)])
    uid = cluster.objects["namespaces", found]["metadata"]["uid"]
    assert selectors == [f"{keys.COPY}={naming.digest(uid, kubeconfig().checked.identity)}"]


def test_without_a_namespace_that_says_who_the_cluster_is_no_copy_is_called_gone() -> None:
    with pytest.raises(CliError, match="no identity") as caught:
        consumer_side(Scripted()).has_copies(kubeconfig(), [])
    assert "kubectl create namespace default" in caught.value.next_step


# --- the whole ----------------------------------------------------------------------------------------


def plan(**values: Any) -> Plan:
    defaults: dict[str, Any] = {
        "request": request(),
        "kubeconfig": kubeconfig(),
        "policy": Policy.parse("all"),
        "image": "",
        "skip_konnector": True,
        "wait_ready": False,
        "timeout": 5.0,
    }
    return Plan(**{**defaults, **values})


def flow(provider: Scripted, consumer: Scripted, stream: io.StringIO | None = None) -> Flow:
    asker, progress = Asker(io.StringIO(), lambda _: None), Progress(stream or io.StringIO())
    return Flow(provider_side(provider), consumer_side(consumer), asker, progress, sleep=nap)


def exported(cluster: Scripted, *claims: dict[str, Any]) -> None:
    cluster.put(EXPORTS, {"metadata": {"name": API}, "spec": {"permissionClaims": list(claims)}})


def answering(*claims: dict[str, Any]) -> Scripted:
    cluster = Scripted()
    original = cluster.create

    def create(resource: Resource, obj: dict[str, Any], **options: Any) -> dict[str, Any]:
        made = original(resource, obj, **options)
        if resource == EXPORT_REQUESTS:
            exported(cluster, *claims)
            succeeded(cluster, made["metadata"]["name"])
        return made

    cluster.create = create  # type: ignore[method-assign]
    return cluster


def test_the_binding_comes_last() -> None:
    provider, consumer = answering(), Scripted()
    outcome = flow(provider, consumer).run(plan())
    assert consumer.wrote() == [
        ("create", "namespaces"),
        ("create", "secrets"),
        ("apply", "clusterroles"),
        ("create", "apiservicebindings"),
        ("patch", "apiservicebindings"),
    ]
    assert outcome.written[-1] == f"APIServiceBinding {API}"


def bound(provider: Scripted) -> Scripted:
    """An app cluster on which everything was accepted that the provider claims."""
    consumer = Scripted()
    flow(provider, consumer).run(plan())
    return consumer


def claims_of(consumer: Scripted) -> list[tuple[str, str]]:
    entries = consumer.objects[BINDINGS.plural, API]["spec"].get("permissionClaims") or []
    return [(entry["resource"], entry["state"]) for entry in entries]


def test_claims_that_were_accepted_outlive_the_export() -> None:
    provider = answering(CLAIM)
    consumer = bound(provider)
    del provider.objects[EXPORTS.plural, API]
    provider.create = lambda resource, obj, **_: provider.put(  # type: ignore[assignment, method-assign]
        resource, {**obj, "status": {"phase": "Failed", "terminalMessage": "it has retired"}}
    )
    consumer.calls.clear()
    for policy in (Policy.parse("all"), None):
        with pytest.raises(CliError, match="it has retired"):
            flow(provider, consumer).run(plan(policy=policy))
    assert consumer.wrote() == []
    assert claims_of(consumer) == [("secrets", "Accepted")]
    # Once it is offered again, the same command goes on from there.
    again = answering(CLAIM)
    again.objects |= provider.objects
    flow(again, consumer).run(plan())
    assert claims_of(consumer) == [("secrets", "Accepted")]


@pytest.mark.parametrize("policy", ["all", None])
def test_claims_that_were_accepted_stay_where_the_export_may_not_be_read(policy: str | None) -> None:
    provider = answering(CLAIM)
    consumer = bound(provider)
    provider.fail["get", EXPORTS.plural] = [refused(403, "Forbidden")] * 9
    consumer.calls.clear()
    flow(provider, consumer).run(plan(policy=Policy.parse(policy) if policy else None))
    assert consumer.wrote() == []
    flow(provider, consumer).run(plan(policy=Policy.parse("none")))
    assert claims_of(consumer) == [("secrets", "Rejected")]  # said in so many words


def test_a_kind_that_nothing_claims_ends_the_run_before_any_write() -> None:
    provider, consumer = answering(CLAIM, MAPS_CLAIM), Scripted()
    with pytest.raises(CliError) as caught:
        flow(provider, consumer).run(plan(policy=Policy.parse("secrets,configmap")))
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.message == "no claim on 'configmap'; the claims are: configmaps, secrets"
    assert consumer.wrote() == []
    assert (EXPORT_REQUESTS.plural, API) not in provider.objects
    with pytest.raises(UsageError, match="no claim on 'configmap'"):
        steps(granted_export(CLAIM), Scripted(), policy=Policy.parse("secrets,configmap"))


def granted_export(*claims: dict[str, Any]) -> Scripted:
    cluster = Scripted()
    exported(cluster, *claims)
    return cluster


def test_kinds_that_are_claimed_here_or_elsewhere_are_fine() -> None:
    provider, consumer = answering(CLAIM, MAPS_CLAIM), Scripted()
    flow(provider, consumer).run(plan(policy=Policy.parse("secrets,configmaps")))
    assert claims_of(consumer) == [("secrets", "Accepted"), ("configmaps", "Accepted")]
    elsewhere = plan(policy=Policy.parse("secrets"), claimed_elsewhere=frozenset({"secrets"}))
    flow(answering(), Scripted()).run(elsewhere)
    # Where the claims are not known, nobody can say that a kind is not among them.
    hidden = answering()
    hidden.fail["get", EXPORTS.plural] = [refused(403, "Forbidden")] * 3
    flow(hidden, Scripted()).run(plan(policy=Policy.parse("secrets")))


def test_a_failure_tells_what_stays_and_withdraws_the_request() -> None:
    provider, consumer = answering(), Scripted()
    consumer.fail["create", BINDINGS.plural] = [refused(403, "Forbidden")]
    with pytest.raises(CliError) as caught:
        flow(provider, consumer).run(plan())
    assert [entry.split("/")[0] for entry in caught.value.left] == [
        "Namespace klutch-bind",
        "Secret klutch-bind",
        "ClusterRole klutch-bind-binding-dbs.example.com",
        "the export cns",
    ]
    assert "only the provider ends it" in caught.value.left[-1]
    assert (EXPORT_REQUESTS.plural, API) not in provider.objects


def test_an_interrupt_withdraws_the_request_as_well_and_tells_what_stays() -> None:
    provider, consumer, stream = answering(), Scripted(), io.StringIO()
    consumer.fail["apply", CLUSTERROLES.plural] = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        flow(provider, consumer, stream).run(plan())
    assert (EXPORT_REQUESTS.plural, API) not in provider.objects
    assert "note: left behind: Namespace klutch-bind\n" in stream.getvalue()
    assert f"note: left behind: the export cns/{API} on the provider" in stream.getvalue()


def test_an_export_that_is_bound_or_was_asked_for_before_is_not_left_behind() -> None:
    provider = answering(CLAIM)
    consumer = bound(provider)
    consumer.fail["patch", BINDINGS.plural] = [refused(403, "Forbidden")]
    with pytest.raises(CliError) as caught:
        flow(provider, consumer).run(plan(conflict_policy="Adopt"))
    assert not any("export" in entry for entry in caught.value.left)
    del provider.objects[EXPORT_REQUESTS.plural, API]  # pruned
    consumer.fail["patch", BINDINGS.plural] = [refused(403, "Forbidden")]
    with pytest.raises(CliError) as caught:
        flow(provider, consumer).run(plan(conflict_policy="Adopt"))
    assert not any("export" in entry for entry in caught.value.left)


def test_what_cannot_be_looked_at_any_more_is_not_told() -> None:
    silent = Scripted()
    with pytest.raises(CliError) as caught:
        flow(silent, Scripted()).run(plan(timeout=-1))
    assert caught.value.left == ()
    silent.fail["get", EXPORTS.plural] = [UnreachableError("no connection")]
    with pytest.raises(CliError) as caught:
        flow(silent, Scripted()).run(plan(timeout=-1))
    assert caught.value.left == ()


def test_a_binding_deleted_while_waiting_for_it() -> None:
    provider, consumer = answering(), Scripted(NAMESPACE)
    original = consumer.merge_patch

    def patch(*arguments: Any, **options: Any) -> dict[str, Any]:
        result = original(*arguments, **options)
        consumer.objects.pop((BINDINGS.plural, API))
        return result

    consumer.merge_patch = patch  # type: ignore[method-assign]
    with pytest.raises(CliError, match="was deleted while waiting"):
        flow(provider, consumer).run(plan(wait_ready=True))


def test_who_waits_in_vain_reads_the_command_at_the_end_of_the_reason() -> None:
    provider, consumer = answering(), Scripted(NAMESPACE)
    original = consumer.merge_patch
    reason = "held: " + "v1.spec.field: the field is removed; " * 20 + "run: kubectl annotate --overwrite"

    def patch(*arguments: Any, **options: Any) -> dict[str, Any]:
        result = original(*arguments, **options)
        said = {"type": "Ready", "status": "False", "reason": "SchemaUpdateHeld", "message": reason}
        consumer.objects[BINDINGS.plural, API]["status"] = {"conditions": [said]}
        return result

    consumer.merge_patch = patch  # type: ignore[method-assign]
    with pytest.raises(CliError) as caught:
        flow(provider, consumer).run(plan(wait_ready=True, timeout=-1.0))
    assert str(caught.value).endswith(reason)


def test_a_deployment_that_says_nothing_of_its_pods() -> None:
    consumer = Scripted((DEPLOYMENTS, {"metadata": {"name": keys.KONNECTOR}}), served=False)
    installer = Installer(consumer, Progress(io.StringIO()), sleep=nap)  # type: ignore[arg-type]
    with pytest.raises(WaitTimeoutError, match="0 available pods") as caught:
        installer.wait_served(timeout=-1)
    assert "look at the pods" in caught.value.next_step


def test_without_a_konnector_there_are_no_pods_to_look_at() -> None:
    installer = Installer(Scripted(served=False), Progress(io.StringIO()), sleep=nap)  # type: ignore[arg-type]
    with pytest.raises(WaitTimeoutError, match="no konnector is deployed here") as caught:
        installer.wait_served(timeout=-1)
    assert "leave out --skip-konnector" in caught.value.next_step
    assert "kubectl bind konnector manifests" in caught.value.next_step
    assert "pods" not in caught.value.next_step


def test_the_names_of_a_dry_run_are_those_of_the_run() -> None:
    found = dryrun.plan_steps(
        plan(), provider_side(Scripted()), consumer_side(Scripted()), Progress(io.StringIO())
    )
    assert dryrun.render(found, "name").splitlines() == [
        f"apiserviceexportrequest.klutch.anynines.com/{API}",
        "namespace/klutch-bind",
        "secret/kubeconfig-(generated)",
        f"clusterrole.rbac.authorization.k8s.io/klutch-bind-binding-{API}",
        f"apiservicebinding.klutch.anynines.com/{API}",
    ]


def steps(provider: Scripted, consumer: Scripted, **values: Any) -> list[tuple[str, str]]:
    found = dryrun.plan_steps(
        plan(**values), provider_side(provider), consumer_side(consumer), Progress(io.StringIO())
    )
    assert provider.wrote() == consumer.wrote() == []
    return [(step.action, step.obj["kind"]) for step in found]


def test_a_dry_run_without_the_right_to_look_at_requests_shows_what_would_be_sent() -> None:
    provider = Scripted()
    provider.fail["get", EXPORT_REQUESTS.plural] = [refused(403, "Forbidden")]
    assert steps(provider, Scripted(NAMESPACE))[0] == ("create", "APIServiceExportRequest")


def test_dry_runs_say_create_update_or_keep() -> None:
    fresh = steps(Scripted(), Scripted())
    assert fresh == [
        ("create", "APIServiceExportRequest"),
        ("create", "Namespace"),
        ("create", "Secret"),
        ("create", "ClusterRole"),
        ("create", "APIServiceBinding"),
    ]
    provider, consumer = answering(), Scripted(NAMESPACE)
    flow(provider, consumer).run(plan())
    provider.calls.clear()
    consumer.calls.clear()
    assert steps(provider, consumer) == [
        ("keep", "APIServiceExportRequest"),
        ("keep", "Secret"),
        ("keep", "ClusterRole"),
        ("keep", "APIServiceBinding"),
    ]
    exported(provider, CLAIM)
    assert steps(provider, consumer, kubeconfig=kubeconfig("new")) == [
        ("keep", "APIServiceExportRequest"),
        ("update", "Secret"),
        ("update", "ClusterRole"),
        ("update", "APIServiceBinding"),
    ]
    flow(provider, consumer).run(plan())
    del provider.objects[EXPORTS.plural, API]
    provider.calls.clear()
    consumer.calls.clear()
    assert steps(provider, consumer) == [
        ("create", "APIServiceExportRequest"),  # it has ended, so it is asked for anew
        ("keep", "Secret"),
        ("keep", "ClusterRole"),
        ("keep", "APIServiceBinding"),
    ]
    installed = steps(Scripted(), Scripted(), skip_konnector=False)
    assert ("create", "Deployment") in installed
    with pytest.raises(CliError, match="requires"):
        steps(
            Scripted(
                (
                    EXPORTS,
                    {"metadata": {"name": API}, "spec": {"permissionClaims": [{**CLAIM, "required": True}]}},
                )
            ),
            Scripted(),
            policy=Policy.parse("none"),
        )
