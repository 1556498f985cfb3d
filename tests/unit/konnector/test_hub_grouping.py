"""Bindings to provider sessions: which Secrets are accepted, who shares a session, and when one ends."""

import asyncio
import base64
from typing import Any, cast

import pytest
import yaml

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS, NAMESPACES, SECRETS
from bind_agent.kube.errors import Forbidden
from bind_agent.kube.intake import ProviderKubeconfig
from konnector import hub as module
from konnector.agent import OnAppCluster
from konnector.hub import Hub
from tests.fakes.eventually import eventually
from tests.fakes.parts import StillInformer, StillPool, app_cluster, home_of

pytestmark = pytest.mark.unit


def _kubeconfig(server: str = "https://203.0.113.7", namespace: str = "cns", token: str = "one") -> bytes:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "current-context": "x",
    }
    return yaml.safe_dump(document).encode()


def _secret(name: str, content: bytes | None, namespace: str = "klutch-bind") -> Object:
    data = {} if content is None else {keys.KUBECONFIG: base64.b64encode(content).decode()}
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": "5"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def _binding(name: str, secret: str = "one", namespace: str = "klutch-bind", **metadata: Any) -> Object:
    reference = {"namespace": namespace, "name": secret, "key": keys.KUBECONFIG}
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_BINDING,
        "metadata": {"namespace": "klutch-bind", "name": name, "uid": f"uid-{name}", "resourceVersion": "5"}
        | metadata,
        "spec": {"kubeconfigSecretRef": reference},
    }


class Session:
    """A provider session that only says what it is told."""

    made: list["Session"]

    def __init__(self, _: Any, kubeconfig: ProviderKubeconfig, **__: Any) -> None:
        self.kubeconfig = kubeconfig
        self.bindings: frozenset[str] = frozenset()
        self.secrets: frozenset[str] = frozenset()
        self.runs = 0
        self.fail: list[Exception] = []
        self.ended = False
        Session.made.append(self)

    def update(
        self, kubeconfig: ProviderKubeconfig, bindings: frozenset[str], secrets: frozenset[str]
    ) -> None:
        self.kubeconfig, self.bindings, self.secrets = kubeconfig, bindings, secrets

    async def run(self) -> None:
        self.runs += 1
        if self.fail:
            raise self.fail.pop(0)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended = True


@pytest.fixture(autouse=True)
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    Session.made = []
    monkeypatch.setattr(module, "ProviderSession", Session)
    return Session.made


class Case:
    """A hub among parts."""

    def __init__(self, *objects: Object) -> None:
        self.app = app_cluster()
        self.pool = cast("StillPool", self.app.pool)
        self.hub = Hub(OnAppCluster(home_of(self.app), self.app))
        self.bindings = self.pool.acquire(BINDINGS)
        self.secrets = self.pool.acquire(SECRETS, namespace="klutch-bind")
        self.namespaces = self.pool.acquire(NAMESPACES)
        for obj in objects:
            (self.bindings if obj["kind"] == keys.KIND_BINDING else self.secrets).put(obj)

    def wanted(self) -> list[tuple[set[str], set[str]]]:
        return [(want.bindings, want.secrets) for want in self.hub._wanted().values()]

    def secret_valid(self, name: str) -> tuple[str, str, str]:
        found = self.hub.status.stated(f"klutch-bind/{name}", "SecretValid")
        assert found is not None
        return found.status, found.reason, found.message


async def test_bindings_with_the_same_provider_share_a_session() -> None:
    case = Case(
        _secret("one", _kubeconfig()),
        _secret("two", _kubeconfig(token="two")),
        _secret("far", _kubeconfig("https://198.51.100.7")),
        _secret("other", _kubeconfig(namespace="another-tenant")),
        _binding("a", "one"),
        _binding("b", "one"),
        _binding("c", "two"),
        _binding("d", "far"),
        _binding("e", "other"),
    )
    assert case.wanted() == [
        (
            {"klutch-bind/a", "klutch-bind/b", "klutch-bind/c"},
            {"klutch-bind/one", "klutch-bind/two"},
        ),
        ({"klutch-bind/d"}, {"klutch-bind/far"}),
        ({"klutch-bind/e"}, {"klutch-bind/other"}),
    ]
    assert case.secret_valid("a")[0] == "True"


@pytest.mark.parametrize(
    ("binding", "secret", "reason", "words"),
    [
        (_binding("a", "gone"), None, "KubeconfigSecretNotFound", "Secret gone is missing"),
        (_binding("a", namespace="kube-system"), None, "KubeconfigSecretInvalid", "not in 'kube-system'"),
        (_binding("a", ""), None, "KubeconfigSecretInvalid", "must be in namespace klutch-bind"),
        (_binding("a"), _secret("one", None), "KubeconfigSecretInvalid", "no entry 'kubeconfig'"),
        (_binding("a"), _secret("one", b"["), "KubeconfigSecretInvalid", "cannot be read"),
        (
            _binding("a"),
            _secret("one", _kubeconfig("https://127.0.0.1:6443")),
            "KubeconfigSecretInvalid",
            "127.0.0.1",
        ),
    ],
    ids=["missing", "foreign-namespace", "unnamed", "no-entry", "malformed", "loopback"],
)
async def test_secrets_that_are_not_used(
    binding: Object, secret: Object | None, reason: str, words: str
) -> None:
    case = Case(binding, *([secret] if secret else []))
    assert case.wanted() == []
    status, found, message = case.secret_valid("a")
    assert (status, found) == ("False", reason)
    assert words in message


async def test_a_binding_that_is_leaving_asks_for_nothing() -> None:
    leaving = _binding("a", deletionTimestamp="2026-01-01T00:00:00Z")
    assert Case(leaving, _secret("one", _kubeconfig())).wanted() == []


async def test_sessions_start_follow_and_end(sessions: list[Session]) -> None:
    case = Case(_secret("one", _kubeconfig()), _binding("a"))
    running = asyncio.create_task(case.hub.run())
    try:
        await eventually(lambda: bool(sessions) and sessions[0].runs == 1)
        assert case.hub.has_synced
        (session,) = sessions
        assert session.bindings == {"klutch-bind/a"}
        # A rotated credential and a second binding reach the session that runs.
        case.secrets.put(_secret("one", _kubeconfig(token="two")))
        case.bindings.put(_binding("b"))
        await eventually(lambda: len(session.bindings) == 2)
        assert session.kubeconfig.token == "two"
        assert len(sessions) == 1
        # Another server is another session; the old one ends when nobody needs it.
        case.secrets.put(_secret("one", _kubeconfig("https://198.51.100.7")))
        await eventually(lambda: len(sessions) == 2 and sessions[1].runs == 1 and session.ended)
        case.bindings.remove("klutch-bind/a")
        case.bindings.remove("klutch-bind/b")
        await eventually(lambda: sessions[1].ended)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert case.secrets.handlers == []


async def test_a_session_that_fails_is_started_again(
    sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Policy", lambda **_: module.Backoff().policy.__class__(first=0.01, cap=0.02))
    session = Session(None, cast("Any", None))
    session.fail = [RuntimeError("a bug"), OSError("no network")]
    task = asyncio.create_task(module._supervise(cast("Any", session)))
    await eventually(lambda: session.runs == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert session.ended


async def test_a_missing_right_at_the_start_is_told_on_the_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    case = Case(_binding("a"))
    case.secrets._synced.clear()
    case.secrets.last_error = Forbidden("secrets is forbidden", code=403, reason="Forbidden")
    waiting = asyncio.create_task(case.hub._know(cast("Any", case.secrets)))
    await eventually(lambda: case.hub.status.stated("klutch-bind/a", "SecretValid") is not None)
    status, reason, message = case.secret_valid("a")
    assert (status, reason) == ("False", "PermissionDenied")
    assert "kubectl bind konnector manifests" in message
    assert not case.hub.has_synced
    case.secrets.sync()
    await waiting


async def test_a_slow_start_is_just_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    case = Case(_binding("a"))
    slow = StillInformer(SECRETS, synced=False)
    waiting = asyncio.create_task(case.hub._know(cast("Any", slow)))
    await asyncio.sleep(0.03)
    assert case.hub.status.stated("klutch-bind/a", "SecretValid") is None
    slow.sync()
    await waiting
