"""Signs of life and the credential: when they are due, and which kubeconfigs are taken over."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import yaml

from bind_agent.api import conditions, keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTER_BINDINGS, SECRETS
from bind_agent.kube.errors import Conflict, Forbidden, Unauthorized
from bind_agent.kube.intake import ProviderKubeconfig, accept_kubeconfig
from konnector.controllers import credential as module
from konnector.controllers.credential import OfferedCredential
from konnector.controllers.heartbeat import Heartbeat, beat
from konnector.options import Options
from konnector.secrets import Secrets, kubeconfig_of
from tests.fakes.parts import CannedClient, StillInformer, StillPool, app_cluster, home_of
from tests.fakes.parts import provider as parts_provider

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VALID = conditions.true("SecretValid")
CNS = "cluster-abc"


def _binding(**status: Any) -> Object:
    metadata = {"name": "cluster", "namespace": CNS, "uid": "u", "resourceVersion": "1"}
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_CLUSTER_BINDING,
        "metadata": metadata,
        "spec": {"kubeconfigSecretRef": {"name": "kubeconfig", "key": "kubeconfig"}},
        "status": status,
    }


def _ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("status", "fresh", "next_in"),
    [
        ({}, True, 151),
        ({"lastHeartbeatTime": "yesterday", "heartbeatInterval": "5m0s"}, True, 151),
        ({"lastHeartbeatTime": 7, "heartbeatInterval": "5m0s"}, True, 151),
        ({"lastHeartbeatTime": _ago(10), "heartbeatInterval": "5m0s"}, False, 141),
        ({"lastHeartbeatTime": _ago(149), "heartbeatInterval": "5m0s"}, False, 2),
        ({"lastHeartbeatTime": _ago(150), "heartbeatInterval": "5m0s"}, True, 151),
        ({"lastHeartbeatTime": _ago(4000), "heartbeatInterval": "5m0s"}, True, 151),
        ({"lastHeartbeatTime": _ago(-60), "heartbeatInterval": "5m0s"}, True, 151),
        ({"lastHeartbeatTime": _ago(10), "heartbeatInterval": "300s"}, True, 151),
        ({"lastHeartbeatTime": _ago(10)}, True, 151),
    ],
    ids=[
        "first",
        "garbage",
        "no-text",
        "young",
        "just-before",
        "due",
        "old",
        "clock-ran-ahead",
        "spelt-otherwise",
        "no-interval",
    ],
)
def test_when_a_heartbeat_is_due(status: dict[str, Any], fresh: bool, next_in: float) -> None:
    after, wait = beat(_binding(**status), [VALID], now=NOW, interval=300, version="v1")
    assert (after["status"]["lastHeartbeatTime"] == _ago(0)) is fresh
    assert after["status"]["heartbeatInterval"] == "5m0s"
    assert after["status"]["konnectorVersion"] == "v1"
    assert wait == next_in


def test_conditions_of_the_heartbeat_keep_their_times_and_those_of_others() -> None:
    others = {"type": "Healthy", "status": "True", "lastTransitionTime": _ago(100)}
    before = _binding(conditions=[others])
    once, _ = beat(before, [VALID], now=NOW, interval=300, version="v1")
    again, _ = beat(once, [VALID], now=NOW + timedelta(seconds=1), interval=300, version="v1")
    assert again == once
    found = {c["type"]: c["status"] for c in once["status"]["conditions"]}
    assert found == {"Ready": "True", "Healthy": "True", "SecretValid": "True", "ValidVersion": "True"}


# --- the credential ---------------------------------------------------------------------------------


def _kubeconfig(token: str = "one", server: str = "https://203.0.113.7:6443") -> bytes:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": CNS}}],
        "current-context": "x",
    }
    return yaml.safe_dump(document).encode()


def _secret(namespace: str, name: str, content: bytes | None) -> Object:
    data = {} if content is None else {keys.KUBECONFIG: base64.b64encode(content).decode()}
    metadata = {"namespace": namespace, "name": name, "uid": "s", "resourceVersion": "5"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


class Case:
    """A heartbeat among parts."""

    def __init__(
        self,
        offered: bytes | None = None,
        *,
        app: CannedClient | None = None,
        provider: Any = None,
        follows: bool = True,
    ) -> None:
        self.app = app or CannedClient(merge_patch={})
        self.provider = provider or CannedClient(merge_patch=lambda *_, **__: _binding())
        self.pool = StillPool()
        self.said: list[conditions.Condition] = []
        self.current: ProviderKubeconfig = accept_kubeconfig(_kubeconfig())
        self.mine = StillInformer(SECRETS, _secret("klutch-bind", "kubeconfig-x", _kubeconfig()))
        there = parts_provider(self.provider, CNS, self.pool)
        credential = OfferedCredential(
            home_of(app_cluster(self.app)),
            there,
            Secrets([cast("Any", self.mine)]),
            current=lambda: self.current,
            secret_keys=lambda: frozenset({"klutch-bind/kubeconfig-x", "klutch-bind/gone"}),
        )
        self.heartbeat = Heartbeat(
            there, Options(), credential=credential if follows else None, state=self.said.append
        )
        self.bindings = self.pool.acquire(CLUSTER_BINDINGS, namespace=CNS)
        self.bindings.put(_binding())
        self.secrets = self.pool.acquire(SECRETS, namespace=CNS, field_selector="metadata.name=kubeconfig")
        if offered is not None:
            self.secrets.put(_secret(CNS, "kubeconfig", offered))

    async def run(self) -> Any:
        return await self.heartbeat._reconcile("cluster")

    def secret_valid(self) -> dict[str, Any]:
        """What was written about the Secret."""
        patch = self.provider.calls[-1][1][2]
        found: dict[str, Any] = next(c for c in patch["status"]["conditions"] if c["type"] == "SecretValid")
        return found


async def test_the_credential_in_use_needs_no_write() -> None:
    case = Case(_kubeconfig())
    result = await case.run()
    assert case.app.calls == []
    assert result.after == pytest.approx(151, abs=1)
    assert case.secret_valid()["status"] == "True"
    assert [c.status for c in case.said] == ["True"]


async def test_a_rotated_credential_is_stored_under_the_lock_of_the_secret() -> None:
    case = Case(_kubeconfig("two"))
    await case.run()
    ((verb, args, kwargs),) = case.app.calls
    assert (verb, args[1], kwargs["namespace"]) == ("merge_patch", "kubeconfig-x", "klutch-bind")
    assert args[2]["metadata"] == {"uid": "s", "resourceVersion": "5"}
    assert base64.b64decode(args[2]["data"]["kubeconfig"]) == _kubeconfig("two")


@pytest.mark.parametrize("offered", [_kubeconfig(), _kubeconfig("two")], ids=["in-use", "rotated"])
async def test_a_secret_that_a_person_points_elsewhere_is_not_turned_back(offered: bytes) -> None:
    # The session with the old address learns of the change a moment before it ends.
    case = Case(offered)
    moved = _kubeconfig("three", "https://198.51.100.1")
    case.mine.put(_secret("klutch-bind", "kubeconfig-x", moved))
    await case.run()
    assert case.app.calls == []
    assert case.secret_valid()["status"] == "True"


async def test_a_secret_that_somebody_broke_is_mended() -> None:
    case = Case(_kubeconfig())
    case.mine.put(_secret("klutch-bind", "kubeconfig-x", b"nonsense: ["))
    await case.run()
    ((_, args, _),) = case.app.calls
    assert base64.b64decode(args[2]["data"]["kubeconfig"]) == _kubeconfig()


@pytest.mark.parametrize(
    ("offered", "reason", "words"),
    [
        (None, "ProviderSecretNotFound", "missing in the tenant's namespace"),
        (b"nonsense: [", "ProviderSecretInvalid", "cannot be read"),
        (
            _kubeconfig("two", "https://198.51.100.1"),
            "ProviderSecretInvalid",
            "bind again on the app cluster",
        ),
        (
            _kubeconfig("two").replace(b"token: two", b"tokenFile: /etc/passwd"),
            "ProviderSecretInvalid",
            "token",
        ),
    ],
    ids=["missing", "malformed", "another-server", "token-file"],
)
async def test_what_is_not_taken_over_is_told_to_the_provider(
    offered: bytes | None, reason: str, words: str
) -> None:
    case = Case(offered)
    await case.run()
    found = case.secret_valid()
    assert (found["status"], found["reason"]) == ("False", reason)
    assert words in found["message"]
    assert "passwd" not in found["message"]
    assert case.app.calls == []


async def test_a_secret_without_the_entry_is_told() -> None:
    case = Case()
    case.secrets.put(_secret(CNS, "kubeconfig", None))
    await case.run()
    assert "has no entry" in case.secret_valid()["message"]


async def test_a_secret_that_cannot_be_read_does_not_hold_up_the_heartbeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SECRET_SECONDS", 0.01)
    case = Case(_kubeconfig("two"))
    case.secrets._synced.clear()
    case.secrets.last_error = Forbidden("secrets is forbidden", code=403, reason="Forbidden")
    await case.run()
    assert "secrets is forbidden" in case.secret_valid()["message"]
    assert [c.status for c in case.said] == ["True"]


async def test_another_name_of_the_secret_is_followed() -> None:
    case = Case(_kubeconfig())
    await case.run()
    renamed = _binding()
    renamed["spec"]["kubeconfigSecretRef"]["name"] = "other"
    case.bindings.put(renamed)
    other = case.pool.acquire(SECRETS, namespace=CNS, field_selector="metadata.name=other")
    other.put(_secret(CNS, "other", _kubeconfig("three")))
    await case.run()
    assert case.pool.released == [case.secrets]
    assert case.secrets.handlers == []
    assert case.app.verbs == ["merge_patch"]


async def test_a_tenant_without_a_cluster_binding_is_told_and_looked_at_again() -> None:
    case = Case()
    case.bindings.remove(f"{CNS}/cluster")
    result = await case.run()
    assert result.after == 30
    (said,) = case.said
    assert "ask it to provision the tenant again" in said.message
    assert case.heartbeat.pretty_name() == ""


async def test_a_refused_heartbeat_is_told_and_tried_again() -> None:
    case = Case(_kubeconfig(), provider=CannedClient(merge_patch=Unauthorized("no", code=401)))
    with pytest.raises(Unauthorized):
        await case.run()
    assert [(c.type, c.reason) for c in case.said] == [("Heartbeating", "ClusterBindingUpdateFailed")]
    lost = Case(_kubeconfig(), provider=CannedClient(merge_patch=Conflict("faster", code=409)))
    with pytest.raises(Conflict):
        await lost.run()
    assert lost.said == []


async def test_a_secret_that_may_not_be_written_is_an_error() -> None:
    case = Case(_kubeconfig("two"), app=CannedClient(merge_patch=Forbidden("no", code=403)))
    with pytest.raises(Forbidden):
        await case.run()


async def test_where_no_credential_is_offered_nothing_is_said_about_it() -> None:
    # Control plane mode: the ClusterBinding names the app cluster's kubeconfig, which is nobody's to copy (spec 5.6).
    case = Case(_kubeconfig("two"), follows=False)
    await case.run()
    assert case.app.calls == []
    assert case.secrets.handlers == case.mine.handlers == []
    written = case.provider.calls[-1][1][2]["status"]
    assert {c["type"] for c in written["conditions"]} == {"Ready", "ValidVersion"}
    assert written["lastHeartbeatTime"]


async def test_closing_ends_all_following() -> None:
    case = Case(_kubeconfig())
    await case.run()
    case.heartbeat.close()
    assert case.mine.handlers == []
    assert case.bindings.handlers == []


def test_what_a_secret_must_hold() -> None:
    assert kubeconfig_of({"data": {"kubeconfig": base64.b64encode(b"x").decode()}}) == b"x"
    for data, words in (
        ({}, "no entry"),
        ({"kubeconfig": "%%"}, "not base64"),
        ({"kubeconfig": 7}, "no entry"),
    ):
        with pytest.raises(Exception, match=words):
            kubeconfig_of({"data": data})
