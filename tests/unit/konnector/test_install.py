"""The binding CRD at start: written only when it has to be, and a clear word when it cannot be."""

import asyncio
from typing import Any, cast

import pytest

from bind_agent.api.meta import Object
from bind_agent.api.resource import BINDINGS
from bind_agent.kube.errors import Conflict, ConnectionFailed, Forbidden
from bind_agent.manifests import load_manifests
from konnector import install
from konnector.install import InstallError, ensure_binding_crd
from tests.fakes.parts import CannedClient

pytestmark = pytest.mark.unit

SHIPPED = next(crd for crd in load_manifests("crds") if crd["metadata"]["name"] == BINDINGS.group_resource)
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}
DENIED = Forbidden("may not", code=403, reason="Forbidden")


def _crd(*, scope: str = "Namespaced", established: bool = True, **changes: Any) -> Object:
    spec = {**SHIPPED["spec"], "scope": scope, **changes}
    return {**SHIPPED, "spec": spec, "status": ESTABLISHED if established else {}}


async def _ensure(client: CannedClient, **options: Any) -> bool:
    return (await ensure_binding_crd(cast("Any", client), **options)).namespaced


async def test_a_missing_crd_is_created() -> None:
    client = CannedClient(get_or_none=None, create=_crd())
    assert await _ensure(client)
    assert client.verbs == ["get_or_none", "create"]


async def test_the_same_api_is_not_written() -> None:
    served = _crd(conversion={"strategy": "None"})  # what a server adds
    client = CannedClient(get_or_none=served)
    assert await _ensure(client)
    assert client.verbs == ["get_or_none"]


async def test_an_older_api_is_replaced_under_its_version() -> None:
    older = _crd(versions=[{**SHIPPED["spec"]["versions"][0], "additionalPrinterColumns": []}])
    older["metadata"] = {**older["metadata"], "resourceVersion": "7", "labels": {"theirs": "x"}}
    client = CannedClient(get_or_none=older, replace=_crd())
    assert await _ensure(client)
    sent = client.calls[1][1][1]
    assert sent["metadata"] == older["metadata"]
    assert sent["spec"] == SHIPPED["spec"]


async def test_the_other_scope_is_used_as_it_is() -> None:
    client = CannedClient(get_or_none=_crd(scope="Cluster", versions=[]))
    assert not await _ensure(client)
    assert client.verbs == ["get_or_none"]


async def test_the_end_of_establishing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_POLL_SECONDS", 0.0)
    client = CannedClient(
        get_or_none=None, create=_crd(established=False), get=[_crd(established=False), _crd()]
    )
    assert await _ensure(client)
    assert client.verbs.count("get") == 2


async def test_a_crd_that_is_never_established_is_told() -> None:
    client = CannedClient(get_or_none=_crd(established=False), get=_crd(established=False))
    with pytest.raises(InstallError, match="not established within 0 s; see its conditions"):
        await _ensure(client, timeout=0.02)


async def test_a_missing_right_is_told_with_what_helps() -> None:
    for client in (CannedClient(get_or_none=DENIED), CannedClient(get_or_none=None, create=DENIED)):
        with pytest.raises(InstallError, match="kubectl bind konnector manifests"):
            await _ensure(client)


async def test_races_and_absences_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_RETRY_SECONDS", 0.0)
    client = CannedClient(
        get_or_none=[ConnectionFailed("away"), None, _crd(conversion={"strategy": "None"})],
        create=Conflict("somebody was faster", code=409, reason="AlreadyExists"),
    )
    async with asyncio.timeout(5):
        assert await _ensure(client)
    assert client.verbs == ["get_or_none", "get_or_none", "create", "get_or_none"]
