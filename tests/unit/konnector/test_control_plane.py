"""Control plane mode: which Secret leads to the app cluster, what is waited for, and how the ends are told apart."""

import asyncio
import base64
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from bind_agent.api import conditions, keys
from bind_agent.api.conditions import Condition
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, NAMESPACES, SECRETS
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from bind_agent.kube.errors import ConnectionFailed, Forbidden, KubeError
from bind_agent.kube.intake import accept_kubeconfig
from konnector import control_plane as module
from konnector import session as session_module
from konnector.clusters import Collection, Ends, Far, Home
from konnector.control_plane import ControlPlaneMode, OnControlPlane, identity
from konnector.controllers.troubles import Followed
from konnector.guard import DoubtfulError, ExchangedError, Guard
from konnector.hub import Hub
from konnector.mode import Destination
from konnector.mode_options import ControlPlane
from konnector.monitor import Monitor
from konnector.options import Options
from konnector.secrets import Secrets
from konnector.session import ProviderSession
from konnector.sync import remedies
from konnector.sync.model import Side
from tests.fakes.eventually import eventually
from tests.fakes.parts import CannedClient, StillInformer, StillPool, app_cluster, provider

pytestmark = pytest.mark.unit

FLAGS = ControlPlane("root", "root", "app1")
KEY = "root/things.g"


def _kubeconfig(server: str = "https://203.0.113.7", token: str = "one", **context: str) -> bytes:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", **context}}],
        "current-context": "x",
    }
    return yaml.safe_dump(document).encode()


def _secret(name: str, content: bytes, namespace: str = "root", key: str = keys.KUBECONFIG) -> Object:
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": "5"}
    data = {key: base64.b64encode(content).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def _binding(secret: str = "app1", namespace: str = "root") -> Object:
    reference = {"namespace": namespace, "name": secret, "key": keys.KUBECONFIG}
    metadata = {"namespace": "root", "name": "things.g", "uid": "b", "resourceVersion": "5"}
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_BINDING,
        "metadata": metadata,
        "spec": {"kubeconfigSecretRef": reference},
    }


def _config(**changes: Any) -> ClusterConfig:
    server = "https://203.0.113.1:6443"
    return replace(ClusterConfig(server, Credential(token="t"), ca_pem=b"-- CA\nabc --\n"), **changes)


def _place(flags: ControlPlane = FLAGS, pool: Any = None, **config: Any) -> OnControlPlane:
    client = cast("Any", CannedClient())
    mode = ControlPlaneMode(Options(control_plane=flags), flags, _config(**config), client)
    return mode.lead(client, cast("Any", pool or StillPool()), None)


def _destination(
    *secrets: Object, binding: Object | None = None, flags: ControlPlane = FLAGS
) -> Destination | Condition:
    informer = cast("Any", StillInformer(SECRETS, *secrets))
    return _place(flags).destination(binding or _binding(), Secrets([informer]))


def test_the_secret_of_the_flags_leads_to_the_app_cluster() -> None:
    found = _destination(_secret("app1", _kubeconfig()))
    assert isinstance(found, Destination)
    assert found.secret == "root/app1"
    # Without a namespace in its context: the provider's namespace is the root namespace in any case.
    assert (found.kubeconfig.server, found.kubeconfig.namespace) == ("https://203.0.113.7", "")


def test_the_key_of_the_flags_is_looked_at() -> None:
    flags = replace(FLAGS, secret_key="admin.conf")
    found = _destination(_secret("app1", _kubeconfig(), key="admin.conf"), flags=flags)
    assert isinstance(found, Destination)
    missing = _destination(_secret("app1", _kubeconfig()), flags=flags)
    assert isinstance(missing, Condition)
    assert "no entry 'admin.conf'" in missing.message


def test_a_secret_elsewhere_is_used_for_a_mirror_of_it_in_the_root_namespace() -> None:
    flags = ControlPlane("root", "default", "original")
    mirror, original = (
        _secret("app1", _kubeconfig()),
        _secret("original", _kubeconfig(token="two"), "default"),
    )
    found = _destination(mirror, original, flags=flags)
    assert isinstance(found, Destination)
    assert (found.secret, found.kubeconfig.token) == ("default/original", "two")
    assert isinstance(
        _destination(original, binding=_binding("original", "default"), flags=flags), Destination
    )


@pytest.mark.parametrize(
    ("secrets", "binding", "reason", "words"),
    [
        ([], _binding(), "KubeconfigSecretNotFound", "Secret app1 is missing in namespace root"),
        ([_secret("app1", b"[")], _binding(), "KubeconfigSecretInvalid", "Secret root/app1: "),
        (
            [_secret("app1", _kubeconfig())],
            _binding(namespace="kube-system"),
            "KubeconfigSecretInvalid",
            "in the root namespace root, not in 'kube-system'",
        ),
        (
            [_secret("app1", _kubeconfig())],
            _binding("app2"),
            "KubeconfigSecretNotFound",
            "Secret app2 is missing",
        ),
        (
            [_secret("app1", _kubeconfig()), _secret("app2", _kubeconfig("https://198.51.100.9"))],
            _binding("app2"),
            "KubeconfigSecretInvalid",
            "Secret root/app2 leads to another cluster than Secret root/app1",
        ),
        (
            [_secret("app2", _kubeconfig())],
            _binding("app2"),
            "KubeconfigSecretNotFound",
            "Secret app1 is missing",
        ),
        (
            [_secret("app1", _kubeconfig("https://127.0.0.1:6443"))],
            _binding(),
            "KubeconfigSecretInvalid",
            "127.0.0.1",
        ),
    ],
    ids=["missing", "malformed", "outside", "other-missing", "other-cluster", "ours-missing", "loopback"],
)
def test_secrets_that_do_not_lead_to_the_app_cluster(
    secrets: list[Object], binding: Object, reason: str, words: str
) -> None:
    found = _destination(*secrets, binding=binding)
    assert isinstance(found, Condition)
    assert (found.type, found.status, found.reason) == ("SecretValid", "False", reason)
    assert words in found.message


def test_only_what_is_needed_is_followed() -> None:
    own = Collection(SECRETS, "root")
    assert _place().home.needed == (own,)
    assert _place().home.bindings == Collection(BINDINGS, "root")
    elsewhere = _place(ControlPlane("root", "default", "original")).home
    assert elsewhere.needed == (own, Collection(SECRETS, "default", "metadata.name=original"))


def test_loopback_is_allowed_where_the_control_plane_is_on_this_machine_too() -> None:
    assert not _place().home.allow_loopback
    assert _place(server="https://127.0.0.1:6443").home.allow_loopback


def test_the_control_plane_is_known_by_its_ca_and_not_by_the_way_to_it() -> None:
    known = identity(_config(), "root")
    assert known == identity(_config(server="https://10.0.0.1"), "root")
    assert known == identity(_config(ca_pem=b"-- CA\nabc --"), "root")
    assert known != identity(_config(ca_pem=b"-- CA\nxyz --"), "root")
    assert known != identity(_config(), "other")
    public = identity(_config(ca_pem=None), "root")
    assert public != identity(_config(ca_pem=None, server="https://other.example"), "root")


# --- start --------------------------------------------------------------------------------------------


async def test_nothing_begins_before_bindings_are_served_in_namespaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN_SECONDS", 0.001)
    wide = BINDINGS.scoped(namespaced=False)
    answers: list[Any] = [ConnectionFailed("refused"), None, None, wide, BINDINGS]
    told: list[str] = []
    monkeypatch.setattr(module, "log", SimpleNamespace(error=lambda _, error: told.append(error)))

    async def find(*_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = cast("Any", SimpleNamespace(discovery=SimpleNamespace(find=find)))
    mode = ControlPlaneMode(Options(), FLAGS, _config(), client)
    async with asyncio.timeout(5):
        await mode.prepare()
    assert answers == []
    # Each trouble once.
    assert [words in message for words, message in zip(
        ("refused", "does not serve", "cluster-scoped"), told, strict=True
    )] == [True] * 3  # fmt: skip


async def test_both_ends_are_what_they_are_called() -> None:
    place = _place(ca_pem=None)
    kubeconfig = accept_kubeconfig(_kubeconfig(), require_namespace=False)
    async with place.connect(kubeconfig) as ends:
        assert ends.far == Far(Side.CONSUMER, "https://203.0.113.7", "root/app1", "root")
        assert ends.far_client is ends.app.client
        assert ends.far_pool is ends.app.pool
        assert ends.provider.client is place.home.client
        assert (ends.provider.namespace, ends.provider.identity) == ("root", ends.app.control_plane)
        # Where the app cluster keeps the account of konnectors, nothing crosses.
        assert ends.app.own_namespaces == {"klutch-bind"}
        assert not ends.app.cluster_id
        # The far end has a bound in memory, the cluster that the konnector runs with has none.
        assert ends.app.pool._budget is not None
        assert ends.provider.pool._budget is None
        # Copies are written only while it is certain whose they are; heartbeats in any case.
        assert ends.provider.copies is not ends.provider.client
        with pytest.raises(DoubtfulError):
            await ends.provider.copies.delete(SECRETS, "x", namespace="root")


# --- an app cluster that may be another one -------------------------------------------------------------


class Asked:
    """An app cluster that says who it is."""

    def __init__(self, *answers: Any) -> None:
        self.client = CannedClient(get=[_kube_system(a) if isinstance(a, str) else a for a in answers])
        cast("Any", self.client).config = SimpleNamespace(server="https://203.0.113.7")
        self.guard = Guard()
        self.task = asyncio.create_task(self.guard.watch(cast("Any", self.client), "one"))

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def _kube_system(uid: str) -> Object:
    return {"metadata": {"name": "kube-system", "uid": uid}}


async def test_a_doubt_stops_writes_until_the_app_cluster_has_said_who_it_is() -> None:
    case = Asked(ConnectionFailed("refused"), "one", "one")
    with pytest.raises(DoubtfulError, match="who it is"):
        case.guard.check()
    await eventually(lambda: case.guard.sure)
    assert case.client.calls == []
    case.guard.doubt()
    assert not case.guard.sure
    await eventually(lambda: len(case.client.calls) == 1)
    assert not case.guard.sure
    case.guard.doubt()  # a new kubeconfig: not waited for the next attempt
    await eventually(lambda: case.guard.sure)
    case.guard.check()
    await case.end()


async def test_an_exchanged_app_cluster_ends_the_session() -> None:
    case = Asked("another")
    case.guard.doubt()
    with pytest.raises(ExchangedError, match="another instead of one"):
        async with asyncio.timeout(5):
            await case.task
    assert not case.guard.sure


async def test_a_doubt_before_the_watch_begins_is_not_forgotten() -> None:
    guard = Guard()
    guard.doubt()
    client = CannedClient(get=ConnectionFailed("refused"))
    watching = asyncio.create_task(guard.watch(cast("Any", client), "one"))
    await eventually(lambda: bool(client.calls))
    assert not guard.sure
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


# --- the session --------------------------------------------------------------------------------------


class Status:
    """What is stated, by type."""

    def __init__(self) -> None:
        self.said: dict[str, Condition] = {}

    def state(self, _: Any, *wanted: Condition) -> None:
        self.said.update({condition.type: condition for condition in wanted})

    def stated(self, _: str, kind: str) -> Condition | None:
        return self.said.get(kind)


class Case:
    """A session in control plane mode whose app cluster answers as told."""

    def __init__(self, *answers: Any) -> None:
        self.client = CannedClient(get=list(answers))
        cast("Any", self.client).trouble = None
        cast("Any", self.client).waiting = 0.0
        self.credentials: list[Any] = []
        cast("Any", self.client).update_credential = self.credentials.append
        self.app = replace(
            app_cluster(self.client), cluster_id="", control_plane="p", roles="apply the roles"
        )
        self.guard = Guard()
        cast("Any", self.guard)._sure = True
        far = Far(Side.CONSUMER, "https://203.0.113.7", "root/app1")
        self.ends = Ends(self.app, provider(), far, self.guard)
        self.status = Status()
        self.namespaces = StillInformer(NAMESPACES)
        self.monitor = Monitor(
            self.ends,
            cast("Any", self.status),
            (Followed(Side.CONSUMER, cast("Any", self.namespaces)),),
            bindings=lambda: frozenset({KEY}),
            exports=lambda: None,
        )
        self.session = ProviderSession(
            _place(),
            accept_kubeconfig(_kubeconfig(), require_namespace=False),
            bindings=cast("Any", StillInformer()),
            secrets=Secrets([]),
            status=cast("Any", self.status),
        )
        running = cast("Any", self.session)
        running._ends, running._monitor = self.ends, self.monitor

    def look(self) -> tuple[str, str]:
        for now in (0.0, 10.0):
            self.monitor.look(KEY, now)
        found = self.status.said["InformersSynced"]
        return found.reason or found.status, found.message


KUBE_SYSTEM = {"metadata": {"name": "kube-system", "uid": "the-app-cluster"}}
DENIED = Forbidden("namespaces is forbidden", code=403, reason="Forbidden")


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (ConnectionFailed("refused"), "AppClusterUnreachable", "https://203.0.113.7 cannot be reached"),
        (DENIED, "PermissionDenied", "lacks a right on the app cluster: namespaces is forbidden; apply the roles"),
    ],
    ids=["away", "denied"],
)  # fmt: skip
async def test_an_app_cluster_that_does_not_say_who_it_is_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, error: KubeError, reason: str, words: str
) -> None:
    case = Case(error, KUBE_SYSTEM)
    monkeypatch.setattr(session_module, "Policy", lambda **_: module_policy(3600.0))
    identifying = asyncio.create_task(case.session._identify(case.app, case.monitor))
    await eventually(lambda: case.monitor.unidentified is error)
    assert not case.monitor.connected
    assert not case.session.connected
    found, message = case.look()
    assert found == reason
    assert words in message
    # A new kubeconfig is a reason to try again at once.
    fresh = accept_kubeconfig(_kubeconfig(token="two"), require_namespace=False)
    case.session.update(fresh, frozenset({KEY}), frozenset())
    async with asyncio.timeout(5):
        identified = await identifying
    assert identified.cluster_id == "the-app-cluster"
    assert [config.credential.token for config in case.credentials] == ["two"]
    assert not case.guard.sure  # behind it there may be another cluster
    assert case.monitor.connected
    assert case.look()[0] == "True"


def module_policy(first: float) -> Any:
    return type(session_module.Backoff().policy)(first=first, cap=first)


async def test_time_is_a_reason_to_try_again_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "Policy", lambda **_: module_policy(0.01))
    case = Case(DENIED, DENIED, KUBE_SYSTEM)
    async with asyncio.timeout(5):
        assert (await case.session._identify(case.app, case.monitor)).cluster_id == "the-app-cluster"


async def test_who_is_known_is_not_asked() -> None:
    known = app_cluster()
    assert await known.identified() is known


def test_a_missing_right_of_a_binding_names_the_way_through_the_control_plane() -> None:
    message = remedies.denied(Side.CONSUMER, "no", "things.g", root="root")
    assert "`kubectl bind konnector rbac things.g --namespace root`" in message
    assert "--namespace" not in remedies.denied(Side.CONSUMER, "no", "things.g")
    assert "AccessGranted" in remedies.denied(Side.PROVIDER, "no", "things.g", root="root")


def test_a_rejected_credential_is_put_into_the_secret() -> None:
    assert "into the Secret root/app1" in remedies.rejected("no", Side.CONSUMER, secret="root/app1")
    assert "check network and app cluster" in remedies.unreachable("https://x", "refused", Side.CONSUMER)


def test_a_base_that_may_not_be_read_names_the_base_roles() -> None:
    case = Case()
    case.namespaces.last_error = DENIED
    reason, message = case.look()
    assert (reason, message.endswith("; apply the roles")) == ("PermissionDenied", True)
    case.namespaces.last_error = ConnectionFailed("refused")
    assert not case.monitor.connected


def test_only_a_lost_connection_is_a_reason_to_doubt() -> None:
    case = Case()
    informer = case.ends.far_pool.acquire(NAMESPACES)
    for error, sure in ((DENIED, True), (ConnectionFailed("refused"), False)):
        cast("Any", informer).last_error = error
        case.monitor.encourage()
        assert case.guard.sure is sure
    # Once told it is for the guard to find out; the trouble that goes on is no new one.
    cast("Any", case.guard)._sure = True
    case.monitor.encourage()
    assert case.guard.sure


# --- the hub ------------------------------------------------------------------------------------------


async def test_the_konnector_is_ready_only_while_it_reaches_the_app_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = StillPool()
    hub = Hub(_place(pool=pool))
    assert hub.connected  # nothing is bound, so nothing is missing
    pool.acquire(BINDINGS, namespace="root").put(_binding())
    assert hub._wanted() == {}
    assert not hub.connected
    stated = hub.status.stated(KEY, "SecretValid")
    assert stated is not None
    assert stated.reason == "KubeconfigSecretNotFound"
    pool.acquire(SECRETS, namespace="root").put(_secret("app1", _kubeconfig()))
    (wanted,) = hub._wanted().values()
    assert (wanted.bindings, wanted.secrets) == ({KEY}, {"root/app1"})
    assert hub.status.stated(KEY, "SecretValid") == conditions.true("SecretValid")
    connected = hub.status.stated(KEY, "Connected")
    assert connected is not None
    assert (connected.status, connected.severity, connected.reason) == ("False", "Info", "Pending")
    hub.status.state([KEY], conditions.true("Connected"))
    hub._wanted()
    assert hub.status.stated(KEY, "Connected") == conditions.true("Connected")
    for reached in (False, True):
        hub._sessions["x"] = (cast("Any", SimpleNamespace(connected=reached)), cast("Any", None))
        assert hub.connected is reached


def test_a_secret_is_found_in_whichever_collection_has_it() -> None:
    one = StillInformer(SECRETS, _secret("a", b"x"))
    two = StillInformer(SECRETS, _secret("b", b"y", "default"))
    secrets = Secrets([cast("Any", one), cast("Any", two)])
    assert secrets.get("default/b") is not None
    assert secrets.get("default/a") is None
    seen: list[str] = []
    remove = secrets.add_handler(lambda _, __, new: seen.append(new.key if new else "gone"))
    two.remove("default/b")
    assert sorted(seen) == ["default/b", "gone", "root/a"]
    remove()
    assert one.handlers == two.handlers == []


def test_the_home_cluster_is_named_in_messages() -> None:
    home: Home = _place().home
    assert home.title == "the control plane cluster"
    assert "control-plane-connector" in home.roles
