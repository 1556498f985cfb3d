"""``kubectl bind URL`` on real API servers, with a real backend behind a played web half; the browser is played too.

Excluded: the web half of our own backend with a real issuer, and what the konnector makes of a binding.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from bind_agent.api import base62, keys, payloads
from bind_agent.api.rbac import ROLE_PREFIX
from bind_agent.api.resource import Resource
from bind_agent.backend.options.serve import Serve
from bind_agent.backend.tenancy.identity import identity
from bind_agent.devcluster import ClusterOptions, Playground
from bind_agent.devcluster.stage import Stage
from tests.fakes import backend_lab
from tests.fakes.bindlab import Lab, meanwhile, writes
from tests.fakes.browsing import NAVIGATION, Run, browse, running, visit
from tests.fakes.tenant import Tenant, expect
from tests.fakes.web_half import Provision, WebHalf, export_request, serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SECRETS = {"resource": "secrets", "version": "v1", "selector": {"owner": "Provider"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backend(
    clusters: Playground, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[backend_lab.Lab]:
    """A provider with a backend at work under its shipped roles."""
    cluster = await clusters.add(ClusterOptions("cli-backend", audit=True))
    stage = Stage(clusters, tmp_path_factory.mktemp("cli-backend"))
    try:
        async with backend_lab.lab(cluster, stage, Serve()) as working:
            yield working
    finally:
        await clusters.remove("cli-backend")


@pytest.fixture
def kind(unique: Callable[[str], str]) -> Resource:
    """A kind of its own for each test."""
    return Resource(f"{unique('g')}.example", "v1", "databases", kind="Database")


def provision(backend: backend_lab.Lab, subject: str) -> Provision:
    """As the web half does after a login."""

    async def make(cluster_id: str) -> bytes:
        added = await backend.tenants.add(
            identity(subject, cluster_id), prefix="cluster", pretty_name="Real \x1b[31mProvider"
        )
        return added.kubeconfig

    return make


def handing_out(tenant: Tenant) -> Provision:
    """Always the same kubeconfig, of a tenant whose backend is played."""

    async def make(_: str) -> bytes:
        return await asyncio.to_thread(tenant.kubeconfig.read_bytes)

    return make


def bind(lab: Lab, half: WebHalf, *options: str, **more: Any) -> Any:
    return running("--kubeconfig", str(lab.consumer.kubeconfig), half.url, "--no-browser", *options, **more)


async def uid_of_namespace(lab: Lab) -> str:
    answer = await expect(lab.consumer, "GET", f"/api/v1/namespaces/{keys.CONSUMER_NAMESPACE}")
    return str(answer["metadata"]["uid"])


@pytest.mark.parametrize(
    ("back_channel", "urlsafe"),
    [(False, False), (False, True), (True, False)],
    ids=["go", "go-urlsafe", "ours"],
)
async def test_from_a_url_to_a_binding(
    lab: Lab, backend: backend_lab.Lab, kind: Resource, back_channel: bool, urlsafe: bool
) -> None:
    claim = backend_lab.claim("secrets")
    await backend.publish(kind, claim)
    half = WebHalf(
        provision(backend, kind.group),
        [export_request(kind.crd_name, [claim])],
        back_channel=back_channel,
        urlsafe=urlsafe,
    )
    async with (
        serving(half),
        bind(lab, half, "--accept-claims=secrets", "--skip-konnector", "-o", "name") as run,
    ):
        status, page = await browse(await run.address())
        done = await run.finish()
    assert done.code == 0, done.err
    assert (status, "You can close this window" in page) == (200, True)
    assert done.out == f"apiservicebinding.klutch.anynines.com/{kind.crd_name}\n"

    # The login named this session and this app cluster.
    ((sid, login),) = half.logins.items()
    assert login["c"] == base62.cluster_id(await uid_of_namespace(lab))
    assert len(sid) >= 20
    binding = await lab.binding(kind.crd_name)
    assert binding is not None
    assert [one["state"] for one in binding["spec"]["permissionClaims"]] == ["Accepted"]
    name = binding["spec"]["kubeconfigSecretRef"]["name"]
    stored = await expect(lab.consumer, "GET", f"/api/v1/namespaces/{keys.CONSUMER_NAMESPACE}/secrets/{name}")
    config = yaml.safe_load(base64.b64decode(stored["data"]["kubeconfig"]))
    token = config["users"][0]["user"]["token"]
    assert token not in done.out + done.err + page
    assert "\x1b" not in done.err
    (redirect,) = half.redirects
    if back_channel:
        # No credential passes through the browser, and the code alone is worth nothing.
        assert redirect.startswith("http://127.0.0.1:")
        assert "response=" not in redirect
        (body,) = half.redeemed
        assert body["code_verifier"] not in redirect + login["code_challenge"] + done.err
        assert body["code"] not in done.out + done.err
    else:
        assert redirect.startswith(f"http://localhost:{login['p']}/callback?response=")


async def test_a_second_login_refreshes_the_credential_and_nothing_else(
    lab: Lab, backend: backend_lab.Lab, kind: Resource
) -> None:
    await backend.publish(kind)
    make = provision(backend, kind.group)
    half = WebHalf(make, [export_request(kind.crd_name)])
    async with serving(half):
        for round_ in range(2):
            mark = lab.consumer.audit_mark()
            async with bind(lab, half, "--skip-konnector") as run:
                await browse(await run.address())
                done = await run.finish()
            assert done.code == 0, done.err
            if not round_:
                first = await lab.binding(kind.crd_name)
                tenants = await backend.tenants.list()
                (mine,) = [one for one in tenants if one.who and one.who.subject == kind.group]

                await backend.tenants.rotate(mine, overlap=timedelta(minutes=5))
    assert "credential refreshed" in done.err
    assert await lab.binding(kind.crd_name) == first
    (write,) = writes(lab.consumer, mark)
    assert write[0] == "patch"
    assert "/secrets/kubeconfig-" in write[1]


async def test_several_requests_of_one_answer_are_bound_one_after_the_other(
    lab: Lab, backend: backend_lab.Lab, kind: Resource, unique: Callable[[str], str]
) -> None:
    other = Resource(f"{unique('h')}.example", "v1", "queues", kind="Queue")
    claim = backend_lab.claim("configmaps")
    await backend.publish(kind, claim)
    await backend.publish(other, claim)
    half = WebHalf(
        provision(backend, kind.group), [export_request(kind.crd_name), export_request(other.crd_name)]
    )
    async with serving(half), bind(lab, half, "--skip-konnector", "-o", "json") as run:
        await browse(await run.address())
        done = await run.finish("y\nn\n")
    assert done.code == 0, done.err
    states = {}
    for name in (kind.crd_name, other.crd_name):
        binding = await lab.binding(name)
        assert binding is not None
        states[name] = binding["spec"]["permissionClaims"][0]["state"]
    assert states == {kind.crd_name: "Accepted", other.crd_name: "Rejected"}
    names = {one["metadata"]["name"] for one in yaml.safe_load(done.out)["items"]}
    assert names == set(states)


async def test_what_an_earlier_request_wrote_is_told_when_a_later_one_fails(
    lab: Lab, backend: backend_lab.Lab, kind: Resource, unique: Callable[[str], str]
) -> None:
    await backend.publish(kind)
    foreign = Resource(f"{unique('f')}.example", "v1", "queues", kind="Queue")
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await expect(lab.consumer, "POST", path, backend_lab.crd_of(foreign))
    half = WebHalf(
        provision(backend, kind.group), [export_request(kind.crd_name), export_request(foreign.crd_name)]
    )
    async with serving(half), bind(lab, half, "--skip-konnector") as run:
        await browse(await run.address())
        done = await run.finish()
    assert (done.code, done.out) == (1, "")
    assert f"CustomResourceDefinition {foreign.crd_name} that does not belong to a binding" in done.err
    left = done.err.partition("left behind")[2]
    assert f"{keys.KIND_BINDING} {kind.crd_name}" in left
    assert foreign.crd_name not in left
    assert await lab.binding(kind.crd_name) is not None


async def test_a_dry_run_writes_nothing_and_prints_yaml(
    clusters: Playground, lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    """Not even the namespace that names the cluster (W-C2)."""
    tenant = await lab.tenant(unique("ns")).create()
    fresh = await clusters.add(ClusterOptions("cli-url-fresh", audit=True))
    half = WebHalf(handing_out(tenant), [export_request(api, [SECRETS]), export_request(f"more{api}")])
    try:
        mine = Lab(lab.provider, fresh, lab.folder)
        mark = lab.provider.audit_mark()
        async with serving(half):
            results = []
            for form in ([], ["-o", "json"], ["-o", "name"]):
                async with bind(mine, half, "--dry-run", *form) as run:
                    await browse(await run.address())
                    results.append(await run.finish())
        assert [one.code for one in results] == [0, 0, 0], results[0].err
        assert writes(fresh, 0) == writes(lab.provider, mark) == []
        status, _ = await fresh.request("GET", f"/api/v1/namespaces/{keys.CONSUMER_NAMESPACE}")
        assert status == 404
    finally:
        await clusters.remove("cli-url-fresh")
    documents = list(yaml.safe_load_all(results[0].out))
    assert [(one["kind"], one["metadata"]["name"]) for one in documents] == [
        (keys.KIND_EXPORT_REQUEST, api),
        (keys.KIND_EXPORT_REQUEST, f"more{api}"),
    ]
    assert documents[0]["spec"]["resources"][0]["permissionClaims"] == [SECRETS]
    assert yaml.safe_load(results[1].out)["items"] == documents
    assert results[2].out == f"{api}\nmore{api}\n"
    assert "a dry run creates none" in results[0].err
    assert tenant.token not in "".join(one.out + one.err for one in results)


async def test_the_first_call_may_be_too_early(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    """A Go backend hands the kubeconfig out before the roles are there (W-C7)."""
    tenant = await lab.tenant(unique("ns")).create(rights=False)
    half = WebHalf(handing_out(tenant), [export_request(api)])

    async def grant_late() -> None:
        while not any(  # noqa: ASYNC110 - the log of another process
            event.code == 403 and f"namespaces/{tenant.namespace}/" in event.uri
            for event in lab.provider.audit_requests(since=mark)
        ):
            await asyncio.sleep(0.1)
        await tenant.grant()

    mark = lab.provider.audit_mark()
    async with (
        serving(half),
        tenant.backend(),
        meanwhile(grant_late()),
        bind(lab, half, "--skip-konnector") as run,
    ):
        await browse(await run.address())
        done = await run.finish()
    assert done.code == 0, done.err
    assert "waiting for the rights" in done.err


async def test_the_chosen_context_counts_to_the_end(
    lab: Lab, backend: backend_lab.Lab, kind: Resource, tmp_path: Path
) -> None:
    """With another cluster as the current context of the same kubeconfig (W-C1)."""
    await backend.publish(kind)
    right = yaml.safe_load(await asyncio.to_thread(lab.consumer.kubeconfig.read_text))
    wrong = yaml.safe_load(await asyncio.to_thread(lab.provider.kubeconfig.read_text))
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "wrong"}
    for section, one in (("clusters", "cluster"), ("users", "user")):
        merged[section] = [
            {"name": name, one: config[section][0][one]}
            for name, config in (("right", right), ("wrong", wrong))
        ]
    merged["contexts"] = [
        {"name": name, "context": {"cluster": name, "user": name}} for name in ("right", "wrong")
    ]
    path = tmp_path / "merged.kubeconfig"
    path.write_text(yaml.safe_dump(merged))
    half = WebHalf(provision(backend, kind.group), [export_request(kind.crd_name)])
    mark = lab.provider.audit_mark()
    options = ("--kubeconfig", str(path), "--context", "right", half, "--no-browser", "--skip-konnector")
    async with serving(half):
        options = tuple(half.url if one is half else str(one) for one in options)
        async with running(*options) as run:
            await browse(await run.address())
            done = await run.finish()
    assert done.code == 0, done.err
    assert await lab.binding(kind.crd_name) is not None
    assert writes(lab.provider, mark) == []


async def test_adopt_gives_the_right_to_create_and_the_default_does_not(
    lab: Lab, backend: backend_lab.Lab, kind: Resource
) -> None:
    await backend.publish(kind)
    half = WebHalf(provision(backend, kind.group), [export_request(kind.crd_name)])
    role_path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{ROLE_PREFIX}{kind.crd_name}"
    seen = []
    async with serving(half):
        for options in ([], ["--conflict-policy=adopt"], [], ["--conflict-policy=Fail"]):
            async with bind(lab, half, "--skip-konnector", *options) as run:
                await browse(await run.address())
                done = await run.finish()
            assert done.code == 0, done.err
            role = await expect(lab.consumer, "GET", role_path)
            binding = await lab.binding(kind.crd_name)
            assert binding is not None
            policy = (binding["metadata"].get("annotations") or {}).get(keys.CONFLICT_POLICY)
            seen.append((policy, "create" in role["rules"][0]["verbs"]))
    assert seen == [(None, False), ("Adopt", True), ("Adopt", True), ("Fail", False)]


# --- the callback (threat A59) ------------------------------------------------------------------------


@pytest.mark.parametrize("back_channel", [False, True], ids=["go", "ours"])
async def test_answers_of_strangers_are_refused_and_the_right_one_is_taken(
    lab: Lab, backend: backend_lab.Lab, kind: Resource, back_channel: bool, unique: Callable[[str], str]
) -> None:
    await backend.publish(kind)
    evil = await lab.tenant(unique("evil")).create()
    half = WebHalf(provision(backend, kind.group), [export_request(kind.crd_name)], back_channel=back_channel)
    hostile = payloads.binding_response(
        session_id="guessed",
        identity="x",
        kubeconfig=await asyncio.to_thread(evil.kubeconfig.read_bytes),
        requests=(export_request("evils.evil.example"),),
    )
    text = base64.urlsafe_b64encode(yaml.safe_dump(hostile).encode()).decode().replace("=", "%3D")
    async with serving(half), bind(lab, half, "--skip-konnector") as run:
        address = await run.address()
        status, _ = await visit(address, NAVIGATION)
        assert status == 302
        (login,) = half.logins.values()
        callback = login["redirect"]
        port = callback.split(":")[2].partition("/")[0]
        good = "code=0123456789abcdef0123456789&s=guessed" if back_channel else f"response={text}"
        here = f"http://127.0.0.1:{port}"
        refused = {
            "a guess of the path": await visit(f"{here}/elsewhere?{good}", NAVIGATION),
            "the path of the other kind": await visit(
                f"{here}/{'callback' if back_channel else 'secret'}?{good}", NAVIGATION
            ),
            "another session": await visit(f"{callback}?{good}", NAVIGATION),
            "no answer": await visit(callback, NAVIGATION),
            "a fetch of a page": await visit(
                f"{callback}?{good}", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
            ),
            "a frame": await visit(f"{callback}?{good}", {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}),
            "a name that leads here": await visit(
                f"{callback}?{good}", {**NAVIGATION, "Host": f"evil.example:{port}"}
            ),
            "a form": await visit(callback, NAVIGATION, method="POST"),
        }
        assert {what: status for what, (status, _) in refused.items() if status < 400} == {}
        # It still waits, and takes the right one.
        status, _ = await browse(address)
        done = await run.finish()
    assert status == 200
    assert done.code == 0, done.err
    assert "note: " in done.err
    assert await lab.binding(kind.crd_name) is not None
    assert await lab.binding("evils.evil.example") is None
    assert evil.token not in done.out + done.err


async def test_nobody_logs_in(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    half = WebHalf(handing_out(tenant), [export_request(api)])
    async with serving(half), bind(lab, half, "--login-timeout", "1s") as run:
        done = await run.finish()
    assert done.code == 4
    assert "nobody logged in at the provider within 1 seconds" in done.err
    assert "run the command again" in done.err


async def test_ctrl_c_ends_it(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    half = WebHalf(handing_out(tenant), [export_request(api)])
    async with serving(half), bind(lab, half) as run:
        await run.address()
        run.interrupt()
        done = await run.finish()
    assert done.code == 130
    assert done.err.endswith("\ninterrupted\n")
    assert "Traceback" not in done.err


async def test_a_browser_is_opened_where_there_is_one(
    lab: Lab, api: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    half = WebHalf(handing_out(tenant), [export_request(api)])
    seen = tmp_path / "seen"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho noise\nprintf %s "$1" > {seen}.part\nmv {seen}.part {seen}\n')
    program.chmod(0o755)
    environment = {**os.environ, "BROWSER": f"{program} %s"}
    async with serving(half), tenant.backend():
        arguments = ("--kubeconfig", str(lab.consumer.kubeconfig), half.url, "--skip-konnector", "-o", "name")
        async with running(*arguments, environment=environment) as run:
            address = await run.address()
            while not seen.exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
            assert seen.read_text() == address
            await browse(address)
            done = await run.finish()
    assert done.code == 0, done.err
    assert done.out == f"apiservicebinding.klutch.anynines.com/{api}\n"


# --- what a provider may send (threats A41-A45, A60) --------------------------------------------------


async def hostile_run(lab: Lab, half: WebHalf, *options: str) -> tuple[Run, Any]:
    async with serving(half), bind(lab, half, "--skip-konnector", *options) as run:
        await browse(await run.address())
        return run, await run.finish()


def with_user(user: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def tamper(document: dict[str, Any]) -> dict[str, Any]:
        config = yaml.safe_load(base64.b64decode(document["kubeconfig"]))
        config["users"][0]["user"] = user
        document["kubeconfig"] = base64.b64encode(yaml.safe_dump(config).encode()).decode()
        return document

    return tamper


def downgraded(document: dict[str, Any]) -> dict[str, Any]:
    text = base64.b64decode(document["kubeconfig"]).replace(b"https://", b"http://")
    return {**document, "kubeconfig": base64.b64encode(text).decode()}


def without_context(document: dict[str, Any]) -> dict[str, Any]:
    text = base64.b64decode(document["kubeconfig"]).replace(b"current-context", b"no-context")
    return {**document, "kubeconfig": base64.b64encode(text).decode()}


def other_request(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "requests": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}]}


def everything(document: dict[str, Any]) -> dict[str, Any]:
    claims = [{"resource": "pods", "version": "v1", "selector": {}}]
    return {**document, "requests": [export_request("things.gone.example", claims)]}


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "exec": (with_user({"exec": {"command": "/bin/true"}}), "ExecNotAllowed"),
    "token-file": (with_user({"tokenFile": "/etc/passwd"}), "FileNotAllowed"),
    "http": (downgraded, "refused"),
    "no-context": (without_context, "ContextMissing"),
    "kind": (other_request, "request 1 of the provider's answer is Secret"),
    "claims": (everything, "pods"),
    "nothing": (lambda document: {**document, "requests": []}, "nothing was chosen"),
}
# The callback itself refuses these where the answer is in the address, and goes on waiting.
MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "no-kubeconfig": (lambda document: {**document, "kubeconfig": ""}, "kubeconfig: must not be empty"),
    "other-session": (
        lambda document: {**document, "authentication": {"oauth2CodeGrant": {"sid": "other"}}},
        "belongs to another session",
    ),
    "other-kind": (lambda document: {**document, "kind": "Secret"}, "kind: must be BindingResponse"),
}


@pytest.mark.parametrize(
    ("case", "back_channel"),
    [
        *((case, way) for case in HOSTILE for way in (False, True)),
        *((case, True) for case in MALFORMED),
    ],
)
async def test_hostile_answers_end_before_anything_is_written(
    lab: Lab, api: str, unique: Callable[[str], str], case: str, back_channel: bool
) -> None:
    tamper, words = (HOSTILE | MALFORMED)[case]
    tenant = await lab.tenant(unique("ns")).create()
    await expect(lab.consumer, "POST", "/api/v1/namespaces", {"metadata": {"name": keys.CONSUMER_NAMESPACE}})
    half = WebHalf(handing_out(tenant), [export_request(api)], back_channel=back_channel, tamper=tamper)
    marks = lab.consumer.audit_mark(), lab.provider.audit_mark()
    _, done = await hostile_run(lab, half)
    assert done.code == 1, done.err
    assert words in done.err
    assert "next: " in done.err
    assert writes(lab.consumer, marks[0]) == writes(lab.provider, marks[1]) == []
    assert tenant.token not in done.out + done.err


@pytest.mark.parametrize("case", sorted(MALFORMED))
async def test_a_malformed_answer_in_the_address_is_told_and_waiting_goes_on(
    lab: Lab, api: str, unique: Callable[[str], str], case: str
) -> None:
    tamper, words = MALFORMED[case]
    tenant = await lab.tenant(unique("ns")).create()
    half = WebHalf(handing_out(tenant), [export_request(api)], tamper=tamper)
    async with serving(half), tenant.backend(), bind(lab, half, "--skip-konnector") as run:
        address = await run.address()
        status, page = await browse(address)
        half.tamper = dict
        again, _ = await browse(address)
        done = await run.finish()
    assert (status, again, done.code) == (400, 200, 0), done.err
    assert words in page
    assert words in done.err


async def test_a_private_address_is_refused_where_that_was_asked_for(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    half = WebHalf(handing_out(tenant), [export_request(api)])
    _, done = await hostile_run(lab, half, "--refuse-private-provider")
    assert done.code == 1
    assert "127.0.0.1" in done.err
