"""TLS and addresses: strict checks, certificates renewed in place, keys without a trace, odd names."""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from bind_agent.api.resource import CONFIGMAPS
from bind_agent.kube import errors, sessions
from bind_agent.kube.addresses import AddressPolicy
from bind_agent.kube.client import Client
from bind_agent.kube.config import ClusterConfig
from bind_agent.kube.credentials import Credential
from tests.fakes.kube_server import Answer, KubeServer, json_answer, stream

pytestmark = pytest.mark.protocol

CA = trustme.CA()
VERSION = json_answer({"major": "1"})


def server_context(*names: str, client_ca: trustme.CA | None = None, **options: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(*(names or ("127.0.0.1",)), **options).configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def config(server: KubeServer, **options: Any) -> ClusterConfig:
    given: dict[str, Any] = {"credential": Credential(token="t"), "ca_pem": CA.cert_pem.bytes()} | options
    return ClusterConfig(server.url, **given)


def certificate(name: str, ca: trustme.CA = CA) -> Credential:
    leaf = ca.issue_cert(f"{name}@example.org", common_name=name)
    return Credential(certificate=leaf.cert_chain_pems[0].bytes(), key=leaf.private_key_pem.bytes())


async def version(given: ClusterConfig) -> object:
    async with Client.open(given, user_agent="test") as client:
        return await client.raw_get("/version")


@pytest.fixture
def no_traces() -> Callable[[], list[str]]:
    folder = Path(tempfile.gettempdir())
    return lambda: [path.name for path in folder.glob("bind-agent-*") if not path.name.endswith(".lock")]


async def test_right_certificate_is_accepted() -> None:
    async with KubeServer(server_context()) as server:
        server.script("/version", VERSION)
        assert await version(config(server)) == {"major": "1"}


async def test_expected_name_may_differ_from_the_host() -> None:
    async with KubeServer(server_context("api.example.org")) as server:
        server.script("/version", VERSION)
        assert await version(config(server, tls_server_name="api.example.org"))
        with pytest.raises(errors.ConnectionFailed, match="certificate"):
            await version(config(server))


async def test_wrong_certificates_are_refused() -> None:
    import datetime

    long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    async with KubeServer(server_context(not_before=long_ago, not_after=long_ago)) as server:
        with pytest.raises(
            errors.ConnectionFailed, match="certificate is not accepted: certificate has expired"
        ):
            await version(config(server))
    async with KubeServer(server_context()) as server:
        with pytest.raises(errors.ConnectionFailed, match="certificate is not accepted"):
            await version(config(server, ca_pem=trustme.CA().cert_pem.bytes()))
        with pytest.raises(errors.ConnectionFailed, match="certificate is not accepted"):
            await version(config(server, ca_pem=None))
        server.script("/version", VERSION)
        assert await version(config(server, ca_pem=None, insecure_skip_tls_verify=True))
        assert await version(config(server, strict_x509=False))
        assert len(server.requests) == 2


async def test_old_protocols_are_refused() -> None:
    context = server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with KubeServer(context) as server:
        with pytest.raises(errors.ConnectionFailed):
            await version(config(server))


async def test_plain_server_behind_https() -> None:
    async with KubeServer() as server:
        given = ClusterConfig(server.url.replace("http", "https"), Credential(token="t"))
        with pytest.raises(errors.ConnectionFailed):
            await version(given)


def test_unusable_authorities() -> None:
    async def attempt() -> None:
        await version(ClusterConfig("https://127.0.0.1", Credential(token="t"), ca_pem=b"nonsense"))

    with pytest.raises(errors.ConfigError, match="certificate authority"):
        asyncio.run(attempt())


async def test_client_certificate_proves_who_we_are_and_leaves_no_trace(
    no_traces: Callable[[], list[str]],
) -> None:
    before = no_traces()
    async with KubeServer(server_context(client_ca=CA)) as server:
        server.script("/version", VERSION)
        async with Client.open(config(server, credential=certificate("jane")), user_agent="test") as client:
            await client.raw_get("/version")
            assert no_traces() == before
        assert "authorization" not in server.requests[0].headers
        with pytest.raises(errors.ConnectionFailed):
            await version(config(server))


async def test_unusable_client_certificates(no_traces: Callable[[], list[str]]) -> None:
    before = no_traces()
    one, two = certificate("one"), certificate("two")
    async with KubeServer(server_context()) as server:
        for broken in (
            Credential(certificate=one.certificate, key=two.key),
            Credential(certificate=b"nonsense", key=b"nonsense"),
            Credential(
                certificate=one.certificate,
                key=one.key.replace(b"RSA PRIVATE", b"ENCRYPTED PRIVATE").replace(
                    b"EC PRIVATE", b"ENCRYPTED PRIVATE"
                ),
            ),
        ):
            with pytest.raises(errors.CredentialError, match="client certificate") as caught:
                await version(config(server, credential=broken))
            assert "PRIVATE" not in str(caught.value)
        assert server.requests == []
    assert no_traces() == before


async def test_renewed_client_certificate_reaches_calls_and_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_RETIREMENT", 0.1)
    old_ca, new_ca = trustme.CA(), trustme.CA()
    context = server_context(client_ca=old_ca)
    new_ca.configure_trust(context)
    async with KubeServer(context) as server:
        server.script("/version", VERSION)
        given = config(server, credential=certificate("old", old_ca))
        async with Client.open(given, user_agent="test") as client:
            await client.raw_get("/version")
            await client.raw_get("/version")
            assert server.connections == 1
            client.update_credential(config(server, credential=certificate("new", new_ca)))
            await client.raw_get("/version")
            assert server.connections == 2
            await asyncio.sleep(0.3)
            await client.raw_get("/version")
            assert server.connections == 2
            client.update_credential(config(server, credential=certificate("newer", new_ca)))
            await client.raw_get("/version")


async def test_many_clients_close_without_leaks() -> None:
    async with KubeServer(server_context()) as server:
        server.script("/version", VERSION)
        for _ in range(5):
            await version(config(server))
        unused = Client.open(config(server), user_agent="test")
        await unused.close()
        await unused.close()


async def test_close_ends_what_is_under_way() -> None:
    async with KubeServer(server_context()) as server:
        server.script("/version", Answer(end="hang", length=10))
        line = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "1"}}}
        server.script("/api/v1/configmaps", stream(line, end="hang"))
        client = Client.open(config(server), user_agent="test")
        call = asyncio.create_task(client.raw_get("/version"))
        watch = client.watch(CONFIGMAPS)
        await anext(watch)
        following = asyncio.create_task(anext(watch))
        await asyncio.sleep(0.2)
        await client.close()
        async with asyncio.timeout(5):
            for task in (call, following):
                with pytest.raises(errors.ConnectionFailed):
                    await task
            with pytest.raises(errors.ConnectionFailed):
                await client.raw_get("/version")
            with pytest.raises(errors.ConnectionFailed):
                await anext(client.watch(CONFIGMAPS))


# --- addresses ------------------------------------------------------------------------------------


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "provider.example.org":
            return real(host, port, *arguments, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def test_names_that_resolve_to_forbidden_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with KubeServer(server_context("provider.example.org")) as server:
        server.script("/version", VERSION)
        url = f"https://provider.example.org:{server.port}"
        usual = ClusterConfig(
            url, Credential(token="t"), ca_pem=CA.cert_pem.bytes(), addresses=AddressPolicy(loopback=False)
        )
        for address in ("127.0.0.1", "169.254.169.254"):
            resolving(monkeypatch, address)
            with pytest.raises(errors.ConnectionFailed, match="not allowed"):
                await version(usual)
        assert server.connections == 0
        # The allowed one of several is taken.
        resolving(monkeypatch, "169.254.169.254", "127.0.0.1")
        playground = ClusterConfig(
            url, Credential(token="t"), ca_pem=CA.cert_pem.bytes(), addresses=AddressPolicy(loopback=True)
        )
        assert await version(playground)


async def test_name_that_does_not_resolve() -> None:
    given = ClusterConfig("https://provider.invalid", Credential(token="t"), addresses=AddressPolicy())
    with pytest.raises(errors.ConnectionFailed, match="cannot connect"):
        await version(given)
