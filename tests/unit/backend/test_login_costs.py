"""What a login does not ask for twice. Excluded: that its tenant can work (integration tests)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.backend.rights import Rights
from bind_agent.backend.tenancy import own_access
from bind_agent.backend.tenancy.address import Endpoint
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.kube.errors import AlreadyExists
from tests.fakes.parts import CannedClient

pytestmark = pytest.mark.unit

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SOON = (datetime.now(UTC) + timedelta(days=7)).isoformat()


class Review:
    """An answer of the API server about rights."""

    def __init__(self, allowed: bool) -> None:
        self.allowed = allowed


def rights(**answers: Any) -> tuple[Rights, CannedClient]:
    client = CannedClient(**answers)
    return Rights(cast("Any", client)), client


async def test_many_at_once_ask_once_who_we_are() -> None:
    found, client = rights(create={"status": {"userInfo": {"username": "system:serviceaccount:ns:backend"}}})
    accounts = await asyncio.gather(*(found.account() for _ in range(8)))
    assert {one.service_account for one in accounts} == {("ns", "backend")}
    assert client.verbs == ["create"]


def binding(uid: str, age: timedelta = timedelta(0)) -> Object:
    return {"metadata": {"uid": uid, "creationTimestamp": (NOW - age).isoformat()}}


class TestOwnAccess:
    async def test_it_is_waited_for_once(self) -> None:
        found, client = rights(can_i=[Review(False), Review(True), Review(False)])
        await own_access.settle(found, "tenant", binding("one"), now=NOW)
        await own_access.settle(found, "tenant", binding("one"), now=NOW)
        assert client.verbs == ["can_i", "can_i"]

    async def test_a_tenant_that_comes_back_under_its_name_is_asked_about_again(self) -> None:
        found, client = rights(can_i=Review(True))
        await own_access.settle(found, "tenant", binding("one"), now=NOW)
        await own_access.settle(found, "tenant", binding("two"), now=NOW)
        assert client.verbs == ["can_i", "can_i"]

    @pytest.mark.parametrize(("age", "asked"), [(timedelta(seconds=5), 1), (timedelta(minutes=5), 0)])
    async def test_an_old_binding_is_in_force(self, age: timedelta, asked: int) -> None:
        found, client = rights(can_i=Review(True))
        await own_access.settle(found, "tenant", binding("one", age), now=NOW)
        assert len(client.calls) == asked

    async def test_a_namespace_of_this_moment_is_asked_about(self) -> None:
        found, client = rights(
            can_i=Review(True),
            create={"status": {"userInfo": {"username": "system:serviceaccount:ns:backend"}}},
        )
        found.reached["tenant"] = "before"
        own = await own_access.ensure_binding(cast("Any", client), found, "tenant", known=None, fresh=True)
        # Nobody looked for a binding that cannot be there.
        assert client.verbs == ["create", "create"]
        await own_access.settle(found, "tenant", own, now=NOW)
        assert client.verbs == ["create", "create", "can_i"]


class Namespace:
    """The part of a tenant's namespace that holds its credential."""

    def __init__(self, *, go: bool = False) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.tokens = 0
        self.asked: list[str] = []
        if go:
            for kind in ("ServiceAccount", "Secret"):
                self.objects[kind, keys.BINDER] = {"metadata": {"name": keys.BINDER}}

    async def get_or_none(self, resource: Any, name: str, **_: Any) -> Object | None:
        self.asked.append(name)
        await asyncio.sleep(0)
        return self.objects.get((resource.kind, name))

    async def create(self, resource: Any, obj: Object, **_: Any) -> Object:
        await asyncio.sleep(0)
        if (resource.kind, meta.name(obj)) in self.objects:
            raise AlreadyExists("exists", code=409)
        self.objects[resource.kind, meta.name(obj)] = obj
        return obj

    async def create_token(self, *_: Any, **__: Any) -> Object:
        await asyncio.sleep(0)
        self.tokens += 1
        return {"status": {"token": f"token-{self.tokens}", "expirationTimestamp": SOON}}

    def __getattr__(self, verb: str) -> Any:
        raise AttributeError(verb)


def credentials(namespace: Namespace) -> Credentials:
    return Credentials(cast("Any", namespace), endpoint=Endpoint("https://api.example:6443", b"PEM"))


async def test_a_login_and_the_controllers_issue_one_token() -> None:
    namespace = Namespace()
    found = credentials(namespace)
    kept = await asyncio.gather(*(found.keep("tenant", "kubeconfig") for _ in range(4)))
    assert namespace.tokens == 1
    assert sum(one.written for one in kept) == 1
    assert {one.state.issued.token for one in kept if one.state.issued} == {"token-1"}


@pytest.mark.parametrize("go", [False, True])
async def test_a_token_of_a_go_backend_is_looked_for_where_there_may_be_one(*, go: bool) -> None:
    namespace = Namespace(go=go)
    kept = await credentials(namespace).keep("tenant", "kubeconfig")
    assert (keys.BINDER in namespace.asked) == go
    assert [old.generation for old in kept.state.retiring] == ([0] if go else [])
