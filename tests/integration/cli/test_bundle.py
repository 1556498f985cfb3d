"""Bundles on real API servers: the same objects as the interactive way, from either command, in any order.

Excluded: what the konnector makes of them (`tests/e2e/test_bundle.py`).
"""

import asyncio
import base64
import json
import random
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from bind_agent.api import consumer_side, keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.backend.options.serve import Serve
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.stage import BACKEND_ACCOUNT, BACKEND_NAMESPACE, Stage
from bind_agent.kube.intake import accept_kubeconfig
from tests.fakes import backend_lab
from tests.fakes.bindlab import Lab, writes
from tests.fakes.tenant import Finished, expect, install_crds, run_cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

QUICK = replace(Serve(), fail_after=timedelta(seconds=3), prune_after=timedelta(seconds=12))
SECRETS = backend_lab.claim("secrets")
MAPS = backend_lab.claim("configmaps", "Consumer", labelSelectors=[{"app": "db"}])
MODULE = ("-m", "bind_agent.backend.app")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(clusters: Playground, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(clusters, tmp_path_factory.mktemp("bundles"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backend(clusters: Playground, stage: Stage) -> AsyncIterator[backend_lab.Lab]:
    """A provider with a backend at work under its shipped roles."""
    cluster = await clusters.add(ClusterOptions("bundle-provider", audit=True))
    try:
        async with backend_lab.lab(cluster, stage, QUICK) as working:
            yield working
    finally:
        await clusters.remove("bundle-provider")


@pytest.fixture
def kind(unique: Callable[[str], str]) -> Resource:
    """A kind of its own for each test."""
    return Resource(f"{unique('g')}.example", "v1", "databases", kind="Database")


@pytest_asyncio.fixture(loop_scope="session")
async def kubeconfig(backend: backend_lab.Lab, unique: Callable[[str], str], tmp_path: Path) -> Path:
    """A tenant's kubeconfig."""
    party = await backend.join(unique("t"))
    path = tmp_path / "tenant.kubeconfig"
    path.write_bytes(party.added.kubeconfig)
    return path


def request_file(folder: Path, *apis: str) -> str:
    resources = [dict(zip(("resource", "group"), api.split(".", 1), strict=True)) for api in apis]
    path = folder / f"{apis[0]}.json"
    document = {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_EXPORT_REQUEST,
        "metadata": {"name": apis[0]},
        "spec": {"resources": resources},
    }
    path.write_text(json.dumps(document))
    return str(path)


async def make(kubeconfig: Path, *arguments: str) -> Finished:
    return await run_cli("bundle", "--remote-kubeconfig", str(kubeconfig), *arguments)


async def from_backend(stage: Stage, backend: backend_lab.Lab, *arguments: str) -> Finished:
    """`bind-backend tenant add` under the shipped account."""
    own = await stage.account_kubeconfig(backend.cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *MODULE,
        "tenant",
        "add",
        *arguments,
        f"--kubeconfig={own}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Finished(process.returncode or 0, out.decode(), err.decode())


def documents(text: str) -> list[Object]:
    return list(yaml.safe_load_all(text))


Identity = tuple[str, str, str]


def identity(obj: Object) -> Identity:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


async def read(stage: Stage, cluster: Cluster, obj: Object) -> Any:
    """An object as a cluster holds it, without what differs between any two clusters; None when it is not there."""
    kind, namespace, name = identity(obj)
    group = obj["apiVersion"].partition("/")[0] if "/" in obj["apiVersion"] else ""
    plural = f"{kind}.{obj['apiVersion'].rpartition('/')[2]}.{group}" if group else kind
    arguments = ["get", plural, name, "--ignore-not-found", "--output=json"]
    text = await stage.kubectl(cluster, *arguments, *([f"--namespace={namespace}"] if namespace else []))
    if not text.strip():
        return None
    found = json.loads(text)
    found.pop("status", None)
    # The control plane fills in the sum of the aggregated roles, as it goes on.
    if "aggregationRule" in found:
        found.pop("rules", None)
    own = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"}
    metadata = {key: value for key, value in found["metadata"].items() if key not in own}
    annotations = {
        key: value
        for key, value in metadata.pop("annotations", {}).items()
        if key not in {keys.LAST_APPLIED, "deployment.kubernetes.io/revision"}
    }
    return {**found, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


async def apply_until_all_are_there(
    stage: Stage, cluster: Cluster, objects: list[Object], *flags: str, order: random.Random
) -> int:
    """Apply object by object in changing order, as long as some fail; returns the number of rounds."""
    for round_ in range(1, 30):
        failed = []
        for obj in order.sample(objects, len(objects)):
            try:
                await stage.kubectl(cluster, "apply", *flags, "--filename=-", stdin=yaml.safe_dump(obj))
            except DevClusterError as error:
                failed.append(str(error))
        if not failed:
            return round_
    raise AssertionError(failed)


async def test_a_bundle_is_what_the_interactive_way_creates(
    clusters: Playground,
    stage: Stage,
    backend: backend_lab.Lab,
    kind: Resource,
    kubeconfig: Path,
    tmp_path: Path,
) -> None:
    other = Resource(f"more.{kind.group}", "v1", "queues", kind="Queue")
    await backend.publish(kind, SECRETS, MAPS)
    await backend.publish(other)
    request = request_file(tmp_path, kind.crd_name, other.crd_name)
    choices = ["-f", request, "--accept-claims", "secrets", "--conflict-policy", "Adopt"]

    by_hand = await clusters.add(ClusterOptions("bundle-by-hand", audit=True))
    applied = await clusters.add(ClusterOptions("bundle-applied"))
    try:
        # A konnector would install the kind of bindings.
        await install_crds(by_hand, only="apiservicebindings.klutch.anynines.com")
        done = await run_cli(
            "apiservice",
            "--kubeconfig",
            str(by_hand.kubeconfig),
            "--remote-kubeconfig",
            str(kubeconfig),
            *choices,
        )
        assert done.code == 0, done.err
        out = tmp_path / "bundle.yaml"
        made = await make(kubeconfig, *choices, "--out", str(out))
        assert made.code == 0, made.err
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        objects = documents(await asyncio.to_thread(out.read_text))

        rounds = await apply_until_all_are_there(
            stage, applied, objects, "--server-side", order=random.Random(1)
        )
        assert rounds > 1, "the order was meant to be a bad one"

        lab = Lab(backend.cluster, by_hand, tmp_path)
        (secret,) = await lab.secrets()
        named = {"ours": secret["metadata"]["name"], "bundle": ""}
        (named["bundle"],) = [one["metadata"]["name"] for one in objects if one["kind"] == "Secret"]
        for obj in objects:
            other_name = json.loads(json.dumps(obj).replace(named["bundle"], named["ours"]))
            ours, theirs = await read(stage, by_hand, other_name), await read(stage, applied, obj)
            theirs = json.loads(json.dumps(theirs).replace(named["bundle"], named["ours"]))
            # The API server notes what a generated name was made of.
            ours["metadata"].pop("generateName", None)
            assert theirs == ours, identity(obj)
        # Nothing that the interactive way writes is missing in the bundle.
        created = {
            uri.partition("?")[0].rpartition("/")[2] for _, uri in writes(by_hand, 0) if "/status" not in uri
        }
        in_bundle = {one["metadata"]["name"] for one in objects}
        assert created - in_bundle <= {"secrets", "apiservicebindings"}, "creations with the name in the body"

        # Once more, in the plain way: everything stays, whoever applied first.
        before = [
            await stage.kubectl(applied, "get", "apiservicebindings", "--all-namespaces", "--output=json")
        ]
        await stage.kubectl(applied, "apply", "--server-side", f"--filename={out}")
        before.append(
            await stage.kubectl(applied, "get", "apiservicebindings", "--all-namespaces", "--output=json")
        )
        assert json.loads(before[0])["items"] == json.loads(before[1])["items"]
    finally:
        await clusters.remove("bundle-by-hand")
        await clusters.remove("bundle-applied")


async def test_plain_apply_converges_as_well(
    clusters: Playground,
    stage: Stage,
    backend: backend_lab.Lab,
    kind: Resource,
    kubeconfig: Path,
    tmp_path: Path,
) -> None:
    await backend.publish(kind, SECRETS)
    out = tmp_path / "bundle.yaml"
    made = await make(
        kubeconfig, "-f", request_file(tmp_path, kind.crd_name), "--accept-claims=all", "--out", str(out)
    )
    assert made.code == 0, made.err
    applied = await clusters.add(ClusterOptions("bundle-plain"))
    try:
        for _ in range(30):
            try:
                said = await stage.kubectl(applied, "apply", f"--filename={out}")
                break
            except DevClusterError:
                await asyncio.sleep(0.2)
        again = await stage.kubectl(applied, "apply", f"--filename={out}")
        assert len(again.splitlines()) == len(said.splitlines())
        assert all(line.endswith(" unchanged") for line in again.splitlines()), again
    finally:
        await clusters.remove("bundle-plain")


async def test_both_commands_make_the_same_bundle(
    stage: Stage, backend: backend_lab.Lab, kind: Resource, unique: Callable[[str], str], tmp_path: Path
) -> None:
    await backend.publish(kind, SECRETS, MAPS)
    name, out = unique("anna"), tmp_path / "bundle.yaml"
    mark = backend.cluster.audit_mark()
    done = await from_backend(
        stage,
        backend,
        name,
        "--cluster-id=c1",
        f"--bundle={out}",
        f"--api={kind.crd_name}",
        "--accept-claims=configmaps",
        f"--out={tmp_path / 'kubeconfig'}",
    )
    assert done.code == 0, done.err
    assert done.out == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    # The request was made with the tenant's rights; the backend's account needs none for it.
    (created,) = [
        event
        for event in backend.cluster.audit_requests(since=mark)
        if event.verb == "create" and event.resource == "apiserviceexportrequests" and event.code == 201
    ]
    assert created.raw["user"]["username"].endswith(f":{keys.BINDER}")
    theirs = documents(await asyncio.to_thread(out.read_text))
    made = await make(
        tmp_path / "kubeconfig", "-f", request_file(tmp_path, kind.crd_name), "--accept-claims=configmaps"
    )
    assert made.code == 0, made.err
    assert documents(made.out) == theirs
    printed = await make(
        tmp_path / "kubeconfig",
        "-f",
        request_file(tmp_path, kind.crd_name),
        "--accept-claims=configmaps",
        "-ojson",
    )
    assert printed.code == 0, printed.err
    assert json.loads(printed.out)["items"] == theirs
    # Repeating it hands the same out again.
    again = await from_backend(
        stage,
        backend,
        name,
        "--cluster-id=c1",
        "--bundle=-",
        f"--api={kind.crd_name}",
        "--accept-claims=configmaps",
        "--skip-konnector",
        "--without-secret",
        f"--out={tmp_path / 'again'}",
    )
    assert again.code == 0, again.err
    kinds = [one["kind"] for one in documents(again.out)]
    assert kinds == ["Namespace", "ClusterRole", keys.KIND_BINDING]
    reference = documents(again.out)[-1]["spec"]["kubeconfigSecretRef"]["name"]
    assert reference in {one["metadata"]["name"] for one in theirs if one["kind"] == "Secret"}


@pytest.mark.parametrize(
    ("accept", "code", "words"),
    [
        ([], 1, "say with --accept-claims"),
        (["--accept-claims=none"], 1, "required claims on secrets"),
        (["--accept-claims=all,none"], 2, "not understood"),
        (["--accept-claims=secrets"], 0, "claim accepted: all secrets in every bound namespace"),
        (["--accept-claims=secretz"], 2, "no claim on 'secretz'; the claims are: secrets"),
    ],
)
async def test_claims_are_settled_beforehand(
    stage: Stage,
    backend: backend_lab.Lab,
    kind: Resource,
    unique: Callable[[str], str],
    tmp_path: Path,
    accept: list[str],
    code: int,
    words: str,
) -> None:
    await backend.publish(kind, {**SECRETS, "required": True})
    out = tmp_path / "bundle.yaml"
    done = await from_backend(
        stage, backend, unique("b"), "--cluster-id=c1", f"--bundle={out}", f"--api={kind.crd_name}", *accept
    )
    assert (done.code, words in done.err) == (code, True), done.err
    assert out.exists() == (code == 0)


async def test_an_api_that_is_not_offered_is_refused_by_both(
    stage: Stage,
    backend: backend_lab.Lab,
    kind: Resource,
    kubeconfig: Path,
    unique: Callable[[str], str],
    tmp_path: Path,
) -> None:
    done = await from_backend(
        stage, backend, unique("b"), "--cluster-id=c1", "--bundle=-", f"--api={kind.crd_name}"
    )
    made = await make(kubeconfig, "-f", request_file(tmp_path, kind.crd_name))
    assert (done.code, made.code, done.out, made.out) == (1, 1, "", "")
    assert f"{kind.crd_name} is refused: " in done.err
    assert "has no CRD" in done.err
    assert "the provider refused the request" in made.err
    # Nothing stays of a request that was withdrawn, and asking again is answered anew.
    await backend.publish(kind)
    made = await make(kubeconfig, "-f", request_file(tmp_path, kind.crd_name))
    assert made.code == 0, made.err


async def test_both_refuse_a_kind_that_nothing_claims(
    backend: backend_lab.Lab, kind: Resource, kubeconfig: Path, tmp_path: Path
) -> None:
    await backend.publish(kind, SECRETS)
    made = await make(kubeconfig, "-f", request_file(tmp_path, kind.crd_name), "--accept-claims=secretz")
    assert (made.code, made.out) == (2, "")
    assert "no claim on 'secretz'; the claims are: secrets" in made.err
    assert "the export " in made.err  # it stays, and is said


async def test_a_bundle_of_an_ended_export_is_made_of_a_new_one(
    backend: backend_lab.Lab, kind: Resource, kubeconfig: Path, tmp_path: Path
) -> None:
    await backend.publish(kind, SECRETS)
    arguments = ("-f", request_file(tmp_path, kind.crd_name), "--accept-claims=all", "--skip-konnector")
    first = await make(kubeconfig, *arguments)
    namespace = accept_kubeconfig(
        await asyncio.to_thread(kubeconfig.read_bytes), allow_loopback=True
    ).namespace
    path = f"/apis/{keys.API_VERSION}/namespaces/{namespace}/apiserviceexports/{kind.crd_name}"
    await expect(backend.cluster, "DELETE", path)
    made = await make(kubeconfig, *arguments)
    assert (first.code, made.code) == (0, 0), first.err + made.err
    assert "asking anew" in made.err
    assert documents(made.out) == documents(first.out)
    [entry] = documents(made.out)[-1]["spec"]["permissionClaims"]
    assert (entry["resource"], entry["state"]) == ("secrets", "Accepted")


async def test_an_interrupted_bundle_withdraws_its_request(
    stage: Stage, clusters: Playground, unique: Callable[[str], str]
) -> None:
    cluster = await clusters.add(ClusterOptions("bundle-interrupted"))
    try:
        await stage.install_backend(cluster)
        own = await stage.account_kubeconfig(cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *MODULE,
            *("tenant", "add", unique("b"), "--cluster-id=c1", "--bundle=-", "--api=things.gone.example"),
            f"--kubeconfig={own}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        path = f"/apis/{keys.API_VERSION}/apiserviceexportrequests"

        async def asked() -> bool:
            return bool((await expect(cluster, "GET", path))["items"])

        await backend_lab.eventually(asked, timeout=60)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode != 0
        assert (out, b"requests that were made are withdrawn" in err) == (b"", True), err
        assert (await expect(cluster, "GET", path))["items"] == []
    finally:
        await clusters.remove("bundle-interrupted")


async def test_without_a_backend_the_wait_ends(
    stage: Stage, clusters: Playground, unique: Callable[[str], str]
) -> None:
    cluster = await clusters.add(ClusterOptions("bundle-idle"))
    try:
        await stage.install_backend(cluster)
        own = await stage.account_kubeconfig(cluster, BACKEND_NAMESPACE, BACKEND_ACCOUNT)
        with pytest.raises(DevClusterError, match="no backend has answered; is one running"):
            await stage.run(
                *MODULE,
                *("tenant", "add", unique("b"), "--cluster-id=c1", "--bundle=-", "--api=things.gone.example"),
                *("--bundle-timeout=2s", f"--kubeconfig={own}"),
            )
    finally:
        await clusters.remove("bundle-idle")


async def test_a_secret_of_the_app_cluster_is_referred_to(
    lab: Lab,
    backend: backend_lab.Lab,
    kind: Resource,
    kubeconfig: Path,
    unique: Callable[[str], str],
    tmp_path: Path,
) -> None:
    await backend.publish(kind)
    await expect(lab.consumer, "POST", "/api/v1/namespaces", {"metadata": {"name": keys.CONSUMER_NAMESPACE}})
    data = await asyncio.to_thread(kubeconfig.read_bytes)
    name = unique("vault")
    secret = {"metadata": {"name": name}, "data": {"kubeconfig": base64.b64encode(data).decode()}}
    for namespace in (keys.CONSUMER_NAMESPACE, "default"):
        await expect(lab.consumer, "POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    mark = lab.consumer.audit_mark()

    async def bundle(namespace: str, *options: str) -> list[Object]:
        made = await run_cli(
            "bundle",
            *("--kubeconfig", str(lab.consumer.kubeconfig), "--skip-konnector"),
            *("--remote-kubeconfig-name", name, "-n", namespace),
            *("-f", request_file(tmp_path, kind.crd_name)),
            *options,
        )
        assert made.code == 0, made.err
        return documents(made.out)

    referred = await bundle(keys.CONSUMER_NAMESPACE)
    copied = await bundle("default")
    left_out = await bundle("default", "--without-secret", "--secret-name", "sealed")
    assert writes(lab.consumer, mark) == []
    checked = accept_kubeconfig(data, allow_loopback=True)
    made_name = consumer_side.secret_name(checked.server, checked.namespace)
    names = [
        (
            objects[-1]["spec"]["kubeconfigSecretRef"]["name"],
            [one["metadata"]["name"] for one in objects if one["kind"] == "Secret"],
        )
        for objects in (referred, copied, left_out)
    ]
    assert names == [(name, []), (made_name, [made_name]), ("sealed", [])]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-f", "-", "-f", "-"], "standard input can be read once only"),
        (["-f", "{request}", "--secret-name", "No Name"], "is not a name"),
        (["-f", "{request}", "-f", "{request}"], "asked for more than once"),
        (["-f", "/nowhere"], "cannot be read"),
    ],
)
async def test_wrong_usage_sends_nothing(
    backend: backend_lab.Lab, kind: Resource, kubeconfig: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    request = request_file(tmp_path, kind.crd_name)
    mark = backend.cluster.audit_mark()
    made = await make(kubeconfig, *(one.format(request=request) for one in options))
    assert made.code == 2, made.err
    assert words in made.err
    assert writes(backend.cluster, mark) == []


async def test_a_file_that_cannot_be_written(
    backend: backend_lab.Lab, kind: Resource, kubeconfig: Path, tmp_path: Path
) -> None:
    await backend.publish(kind)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    made = await make(kubeconfig, "-f", request_file(tmp_path, kind.crd_name), "--out", str(link))
    assert made.code == 1
    assert "symbolic link" in made.err
    assert not (tmp_path / "target").exists()
