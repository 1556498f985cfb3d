"""``kubectl bind apiservice`` on real API servers; the test plays the backend's controllers.

Excluded: what the konnector makes of a binding, and the real backend.
"""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bind_agent.api import keys
from bind_agent.api.rbac import ROLE_PREFIX
from bind_agent.devcluster import ClusterOptions, Playground
from cli.binding.install import default_image
from tests.fakes.bindlab import Lab, meanwhile, until_there, writes
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.eventually import eventually
from tests.fakes.tenant import Tenant, expect, install_crds, run_cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SECRETS = {"resource": "secrets", "version": "v1", "selector": {"owner": "Provider"}}
LABELLED = {
    "resource": "configmaps",
    "version": "v1",
    "required": True,
    "selector": {"owner": "Consumer", "labelSelectors": [{"app": "db"}]},
}
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


async def role_of(lab: Lab, api: str) -> dict[str, Any] | None:
    status, role = await lab.consumer.request("GET", f"{ROLES}/{ROLE_PREFIX}{api}")
    return role if status == 200 else None


async def test_first_run_installs_and_binds(
    clusters: Playground, lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    """A cluster that knows nothing of bindings: the konnector comes, then everything else."""
    tenant = await lab.tenant(unique("ns"), SECRETS).create()
    fresh = await clusters.add(ClusterOptions("cli-fresh", audit=True))
    try:
        mine = Lab(lab.provider, fresh, lab.folder)
        deployment_path = f"/apis/apps/v1/namespaces/{keys.CONSUMER_NAMESPACE}/deployments/{keys.KONNECTOR}"

        async def start_konnector() -> None:
            await until_there(fresh, deployment_path)
            await install_crds(fresh, only="apiservicebindings.klutch.anynines.com")

        async with tenant.backend(), meanwhile(start_konnector()):
            done = await mine.bind(tenant, mine.request_file(api), "--accept-claims", "all", "-v", "1")
        assert done.code == 0, done.err
        assert "waiting for the konnector to start" in done.err
        assert done.out.splitlines()[0].split()[:2] == ["NAME", "PROVIDER"]
        assert api in done.out

        binding = await mine.binding(api)
        assert binding is not None
        [secret] = await mine.secrets()
        assert binding["spec"]["kubeconfigSecretRef"] == {
            "namespace": keys.CONSUMER_NAMESPACE,
            "name": secret["metadata"]["name"],
            "key": "kubeconfig",
        }
        [claim] = binding["spec"]["permissionClaims"]
        assert (claim["state"], claim["selector"]["owner"]) == ("Accepted", "Provider")
        [ready] = binding["status"]["conditions"]
        assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "Pending")

        stored = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
        assert stored["contexts"][0]["context"]["namespace"] == tenant.namespace
        assert stored["users"][0]["user"] == {"token": tenant.token}

        deployment = await expect(fresh, "GET", deployment_path)
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == default_image()

        # The control plane adds base and binding rules to the konnector's role.
        for _ in range(100):
            aggregated = await expect(fresh, "GET", f"{ROLES}/{keys.KONNECTOR_ROLE}")
            if any("secrets" in rule["resources"] for rule in aggregated.get("rules") or []):
                break
            await asyncio.sleep(0.1)
        resources = {resource for rule in aggregated["rules"] for resource in rule["resources"]}
        assert {"widgets", "widgets/status", "secrets", "apiservicebindings"} <= resources
        assert not any("*" in rule[field] for rule in aggregated["rules"] for field in ("resources", "verbs"))
        # No Secret value is in anything that was said.
        assert tenant.token not in done.out + done.err
    finally:
        await clusters.remove("cli-fresh")


async def test_second_run_writes_nothing_on_the_app_cluster(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns"), SECRETS).create()
    request = lab.request_file(api)
    async with tenant.backend():
        first = await lab.bind(tenant, request, "--accept-claims", "secrets", "--skip-konnector")
        mark, provider_mark = lab.consumer.audit_mark(), lab.provider.audit_mark()
        again = await lab.bind(tenant, request, "--skip-konnector")
        declared = await lab.bind(tenant, request, "--skip-konnector", "--accept-claims", "all")
    assert (first.code, again.code, declared.code) == (0, 0, 0), again.err + declared.err
    assert writes(lab.consumer, mark) == []
    # The first request stands and is taken up.
    assert writes(lab.provider, provider_mark) == []
    assert len(await tenant.requests()) == 1


@pytest.mark.parametrize("form", ["table", "yaml", "json", "name"])
async def test_dry_run_writes_nothing_anywhere(
    lab: Lab, api: str, unique: Callable[[str], str], form: str
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    marks = lab.consumer.audit_mark(), lab.provider.audit_mark()
    done = await lab.bind(
        tenant,
        lab.request_file(api, claims=[SECRETS]),
        "--dry-run",
        "--konnector-image",
        "example.com/k:v9",
        "-o",
        form,
    )
    assert done.code == 0, done.err
    assert writes(lab.consumer, marks[0]) == writes(lab.provider, marks[1]) == []
    assert await lab.binding(api) is None
    assert "would be asked" in done.err
    assert tenant.token not in done.out
    if form == "yaml":
        objects = list(yaml.safe_load_all(done.out))
        kinds = [one["kind"] for one in objects]
        assert kinds[0] == keys.KIND_EXPORT_REQUEST
        assert kinds[-3:] == ["Secret", "ClusterRole", keys.KIND_BINDING]
        assert objects[-1]["spec"]["permissionClaims"][0]["state"] == "Rejected"
    elif form == "json":
        assert len(json.loads(done.out)["items"]) > 5
    else:
        assert "example.com" not in done.out
        assert api in done.out


async def test_answers_are_read_one_by_one(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    """Two short answers in one pipe reach their two questions."""
    tenant = await lab.tenant(unique("ns"), SECRETS, LABELLED).create()
    async with tenant.backend():
        done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector", stdin="n\ny\n")
    assert done.code == 0, done.err
    binding = await lab.binding(api)
    assert binding is not None
    states = {claim["resource"]: claim["state"] for claim in binding["spec"]["permissionClaims"]}
    assert states == {"secrets": "Rejected", "configmaps": "Accepted"}
    role = await role_of(lab, api)
    assert role is not None
    assert "secrets" not in {resource for rule in role["rules"] for resource in rule["resources"]}
    assert "EVERY object of secrets" in done.err
    assert "THEIR CONTENT LEAVES THIS CLUSTER" in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize(("options", "stdin"), [((), "y\nn\n"), (("--accept-claims", "none"), ""), ((), "")])
async def test_no_to_a_required_claim_leaves_the_app_cluster_untouched(
    lab: Lab, api: str, unique: Callable[[str], str], options: tuple[str, ...], stdin: str
) -> None:
    tenant = await lab.tenant(unique("ns"), SECRETS, LABELLED).create()
    mark = lab.consumer.audit_mark()
    async with tenant.backend():
        done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector", *options, stdin=stdin)
    assert done.code == 3, done.err
    assert writes(lab.consumer, mark) == []
    assert await lab.binding(api) is None
    assert await tenant.requests() == []
    # A tenant cannot take back what the provider has made.
    assert f"the export {tenant.namespace}/{api} on the provider" in done.err


async def test_a_kind_that_nothing_claims_leaves_the_app_cluster_untouched(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns"), SECRETS, LABELLED).create()
    mark = lab.consumer.audit_mark()
    async with tenant.backend():
        done = await lab.bind(
            tenant, lab.request_file(api), "--skip-konnector", "--accept-claims", "secrets,configmap"
        )
    assert done.code == 2, done.err
    assert "error: no claim on 'configmap'; the claims are: configmaps, secrets\n" in done.err
    assert writes(lab.consumer, mark) == []
    assert await tenant.requests() == []


async def test_an_ended_export_takes_no_claim_back(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    tenant = await lab.tenant(unique("ns"), SECRETS).create()
    request, options = lab.request_file(api), ("--skip-konnector", "--accept-claims", "all")
    path = f"/apis/{keys.API_VERSION}/namespaces/{tenant.namespace}/apiserviceexports/{api}"
    async with tenant.backend():
        first = await lab.bind(tenant, request, *options)
    before = await lab.binding(api), await role_of(lab, api)
    await expect(lab.provider, "DELETE", path)
    mark = lab.consumer.audit_mark()
    async with tenant.backend(status={"phase": "Failed", "terminalMessage": "it has retired"}):
        ended = await lab.bind(tenant, request, *options)
    assert (first.code, ended.code) == (0, 1), first.err + ended.err
    assert "the provider has ended" in ended.err
    assert "it has retired" in ended.err
    async with tenant.backend():
        restored = await lab.bind(tenant, request, *options)
        again = await lab.bind(tenant, request, *options)
    assert (restored.code, again.code) == (0, 0), restored.err + again.err
    assert writes(lab.consumer, mark) == []
    assert (await lab.binding(api), await role_of(lab, api)) == before
    # The first request goes by itself; the one that was made anew has a name of its own.
    names = {one["metadata"]["name"] for one in await tenant.requests()}
    assert len(names) == 2
    assert all(name == api or name.startswith(f"{api}-") for name in names)


async def test_wider_claims_are_asked_again_and_no_keeps_the_old_ones(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    plural, _, group = api.partition(".")
    narrow = {**SECRETS, "selector": {"owner": "Provider", "labelSelectors": [{"app": "db"}]}}
    tenant = await lab.tenant(unique("ns"), narrow).create()
    request = lab.request_file(api)
    async with tenant.backend():
        first = await lab.bind(tenant, request, "--skip-konnector", stdin="y\n")
        await tenant.set_export(group, plural, [SECRETS])
        refused = await lab.bind(tenant, request, "--skip-konnector", stdin="n\n")
        kept = await lab.binding(api)
        repeated = await lab.bind(tenant, request, "--skip-konnector", stdin="")
        allowed = await lab.bind(tenant, request, "--skip-konnector", "--accept-claims", "all")
        widened = await lab.binding(api)
        silent = await lab.bind(tenant, request, "--skip-konnector", stdin="")
    assert [one.code for one in (first, refused, allowed, silent)] == [0, 0, 0, 0], refused.err + allowed.err
    assert "narrower form" in refused.err
    assert kept is not None
    assert widened is not None
    answers = [
        (one["state"], one["selector"].get("labelSelectors")) for one in kept["spec"]["permissionClaims"]
    ]
    assert answers == [("Rejected", None), ("Accepted", [{"app": "db"}])]
    assert (repeated.code, "narrower form" in repeated.err) == (0, False)
    [entry] = widened["spec"]["permissionClaims"]
    assert (entry["state"], "labelSelectors" in entry["selector"]) == ("Accepted", False)


async def test_rights_that_arrive_late_are_waited_for(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create(rights=False)

    mark = lab.provider.audit_mark()

    def was_refused() -> bool:
        return any(
            event.code == 403 and event.namespace == tenant.namespace
            for event in lab.provider.audit_requests(since=mark)
        )

    async def grant() -> None:
        await eventually(was_refused, seconds=60)
        await tenant.grant()

    async with tenant.backend(), meanwhile(grant()):
        done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector")
    assert done.code == 0, done.err
    assert "waiting for the rights" in done.err


async def test_rights_that_never_arrive_end_with_a_clear_message(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create(rights=False)
    mark = lab.consumer.audit_mark()
    done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector", "--timeout", "2s")
    assert done.code == 1
    assert "Forbidden" in done.err
    assert "next: ask an administrator" in done.err
    assert writes(lab.consumer, mark) == []


async def test_a_refused_request_tells_the_providers_words_harmlessly(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    status = {"phase": "Failed", "terminalMessage": "no such API \x1b[2J\u202e"}
    async with tenant.backend(status=status):
        done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector")
    assert done.code == 1
    assert "no such API \\x1b[2J\\u202e" in done.err
    assert await tenant.requests() == []
    assert await lab.binding(api) is None


async def test_a_silent_provider_ends_in_a_timeout(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector", "--timeout", "2s")
    assert done.code == 4, done.err
    assert "within 2s" in done.err
    assert await tenant.requests() == []


async def test_a_request_deleted_meanwhile_is_an_error(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    path = f"/apis/{keys.API_VERSION}/namespaces/{tenant.namespace}/apiserviceexportrequests/{api}"

    async def remove() -> None:
        await until_there(lab.provider, path)
        await expect(lab.provider, "DELETE", path)

    async with meanwhile(remove()):
        done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector")
    assert done.code == 1
    assert "was deleted on the provider" in done.err


async def test_a_name_that_is_taken_gets_a_suffix(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    other = lab.request_file("gadgets.other.example", name="same")
    async with tenant.backend():
        first = await lab.bind(tenant, other, "--skip-konnector")
        done = await lab.bind(tenant, lab.request_file(api, name="same"), "--skip-konnector")
    assert (first.code, done.code) == (0, 0), done.err
    names = {request["metadata"]["name"] for request in await tenant.requests()}
    assert len(names) == 2
    assert all(name == "same" or name.startswith("same-") for name in names)


async def test_a_binding_of_another_provider_is_left_alone(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    one, two = await lab.tenant(unique("a")).create(), await lab.tenant(unique("b")).create()
    request = lab.request_file(api)
    async with one.backend(), two.backend():
        first = await lab.bind(one, request, "--skip-konnector")
        marks = lab.consumer.audit_mark(), lab.provider.audit_mark()
        second = await lab.bind(two, request, "--skip-konnector")
    assert (first.code, second.code) == (0, 1)
    assert "belongs to another provider" in second.err
    assert writes(lab.consumer, marks[0]) == writes(lab.provider, marks[1]) == []


@pytest.mark.parametrize("owned", [False, True], ids=["somebody's", "a former binding's"])
async def test_a_crd_of_somebody_else_ends_the_run_before_any_write(
    lab: Lab, api: str, unique: Callable[[str], str], owned: bool
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    plural, _, group = api.partition(".")
    owner = {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "name": api, "uid": "0-0"}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": api} | ({"ownerReferences": [owner]} if owned else {}),
        "spec": {
            "group": group,
            "names": {"plural": plural, "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }
    # The garbage collector would take a CRD with an unknown owner away.
    manager = lab.consumer.controller_manager
    assert manager is not None
    await manager.pause()
    try:
        await expect(lab.consumer, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        marks = lab.consumer.audit_mark(), lab.provider.audit_mark()
        async with tenant.backend():
            done = await lab.bind(tenant, lab.request_file(api), "--skip-konnector")
    finally:
        await manager.resume()
    if owned:
        assert done.code == 0, done.err
    else:
        assert done.code == 1
        assert "does not belong to a binding" in done.err
        assert writes(lab.consumer, marks[0]) == writes(lab.provider, marks[1]) == []


def _at(tenant: Tenant, address: str) -> None:
    """The tenant's kubeconfig from now on: the same credential at another address."""
    document = yaml.safe_load(tenant.kubeconfig.read_text(encoding="utf-8"))
    document["clusters"][0]["cluster"]["server"] = address
    tenant.kubeconfig.write_text(yaml.safe_dump(document), encoding="utf-8")


async def _leads_to(lab: Lab, api: str) -> str:
    """The address in the Secret that a binding refers to."""
    binding = await lab.binding(api)
    assert binding is not None
    name = binding["spec"]["kubeconfigSecretRef"]["name"]
    (secret,) = [one for one in await lab.secrets() if one["metadata"]["name"] == name]
    document = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    return str(document["clusters"][0]["cluster"]["server"])


async def test_a_provider_with_a_new_address_is_followed_when_it_is_proven_the_same(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    request = lab.request_file(api)
    async with ChaosProxy("127.0.0.1", lab.provider.port) as proxy, tenant.backend():
        await lab.bind(tenant, request, "--skip-konnector")
        binding, secrets = await lab.binding(api), await lab.secrets()
        # Another token of the same account, as a provider hands it out at its new address.
        await asyncio.sleep(1.1)
        await tenant.renew()
        moved = f"https://localhost:{proxy.port}"
        _at(tenant, moved)
        mark = lab.consumer.audit_mark()
        looked = await lab.bind(tenant, request, "--skip-konnector", "--dry-run")
        assert (looked.code, writes(lab.consumer, mark)) == (0, []), looked.err
        assert "would be moved" in looked.err
        done = await lab.bind(tenant, request, "--skip-konnector")
        assert done.code == 0, done.err
        assert f"to {moved}" in done.err
        assert "it is the same account there" in done.err
        assert await _leads_to(lab, api) == moved
        # The Secret alone has changed; and the same command again has nothing to do.
        assert [verb for verb, _ in writes(lab.consumer, mark)] == ["patch"]
        assert binding == await lab.binding(api)
        assert len(await lab.secrets()) == len(secrets)
        again = await lab.bind(tenant, request, "--skip-konnector")
        assert (again.code, "moved" in again.err) == (0, False)


async def test_a_provider_whose_account_is_another_one_is_followed_on_somebodys_word_only(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    request = lab.request_file(api)
    async with ChaosProxy("127.0.0.1", lab.provider.port) as proxy, tenant.backend():
        await lab.bind(tenant, request, "--skip-konnector")
        # A provider that was restored has the namespace, but gave its accounts new UIDs.
        accounts = f"/api/v1/namespaces/{tenant.namespace}/serviceaccounts"
        await expect(lab.provider, "DELETE", f"{accounts}/{keys.BINDER}")
        await expect(lab.provider, "POST", accounts, {"metadata": {"name": keys.BINDER}})
        await tenant.renew()
        before = await _leads_to(lab, api)
        moved = f"https://localhost:{proxy.port}"
        _at(tenant, moved)
        marks = lab.consumer.audit_mark(), lab.provider.audit_mark()
        for answer in ("", "n\n"):
            refused = await lab.bind(tenant, request, "--skip-konnector", stdin=answer)
            assert refused.code == 3, refused.err
            assert "the account there is another one" in refused.err
        assert writes(lab.consumer, marks[0]) == []
        assert {uri.partition("?")[0] for _, uri in writes(lab.provider, marks[1])} == {
            "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        }
        assert await _leads_to(lab, api) == before
        done = await lab.bind(tenant, request, "--skip-konnector", "--move-provider")
        assert done.code == 0, done.err
        assert "by --move-provider" in done.err
        assert await _leads_to(lab, api) == moved
        # And back again: the account that is stored by now is the one there.
        _at(tenant, before)
        back = await lab.bind(tenant, request, "--skip-konnector")
        assert back.code == 0, back.err
        assert await _leads_to(lab, api) == before


async def test_a_newer_credential_is_stored(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    request = lab.request_file(api)
    async with tenant.backend():
        await lab.bind(tenant, request, "--skip-konnector")
        before = await lab.secrets()
        await asyncio.sleep(1.1)  # tokens of the same second are equal
        await tenant.renew()
        done = await lab.bind(tenant, request, "--skip-konnector")
    assert done.code == 0, done.err
    assert "credential refreshed" in done.err
    after = await lab.secrets()
    assert {one["metadata"]["name"] for one in after} == {one["metadata"]["name"] for one in before}
    stored = [yaml.safe_load(base64.b64decode(one["data"]["kubeconfig"])) for one in after]
    assert tenant.token in [one["users"][0]["user"]["token"] for one in stored]
    assert tenant.token not in done.err + done.out


async def test_kubeconfig_from_a_secret_and_request_from_stdin(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns"), SECRETS).create()
    secret = {
        "metadata": {"name": unique("mine")},
        "data": {"kubeconfig": base64.b64encode(tenant.kubeconfig.read_bytes()).decode()},
    }
    await expect(lab.consumer, "POST", "/api/v1/namespaces/default/secrets", secret)
    request = await asyncio.to_thread(Path(lab.request_file(api)).read_text)
    arguments = (
        "apiservice",
        "--kubeconfig",
        str(lab.consumer.kubeconfig),
        "--remote-kubeconfig-name",
        secret["metadata"]["name"],
        "--skip-konnector",
        "-f",
        "-",
    )
    async with tenant.backend():
        # Standard input is used up by the request, so nobody can answer.
        unanswered = await run_cli(*arguments, "-n", "default", stdin=request)
        done = await run_cli(
            *arguments,
            "--remote-kubeconfig-namespace",
            "default",
            "--accept-claims",
            "all",
            "-o",
            "name",
            stdin=request,
        )
        missing = await run_cli(*arguments, "-n", "kube-public", stdin=request)
    assert unanswered.code == 3, unanswered.err
    assert done.code == 0, done.err
    assert done.out == f"apiservicebinding.klutch.anynines.com/{api}\n"
    assert missing.code == 1
    assert "has no Secret kube-public/" in missing.err


async def test_wait_ends_with_ready_or_a_timeout(lab: Lab, api: str, unique: Callable[[str], str]) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    request = lab.request_file(api)

    async def konnector() -> None:
        await asyncio.sleep(2.0)
        path = f"/apis/{keys.API_VERSION}/namespaces/{keys.CONSUMER_NAMESPACE}/apiservicebindings/{api}"
        binding = await until_there(lab.consumer, path)
        now = binding["metadata"]["creationTimestamp"]
        binding["status"] = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}
        await expect(lab.consumer, "PUT", f"{path}/status", binding)

    async with tenant.backend():
        late = await lab.bind(tenant, request, "--skip-konnector", "--wait", "--timeout", "2s")
        async with meanwhile(konnector()):
            done = await lab.bind(tenant, request, "--skip-konnector", "--wait", "-o", "json")
    assert late.code == 4, late.err
    assert f"{keys.KIND_BINDING} {api}" in late.err
    assert done.code == 0, done.err
    assert json.loads(done.out)["status"]["conditions"][0]["status"] == "True"


async def test_cluster_scoped_bindings_work(
    clusters: Playground, lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    """An app cluster that a Go konnector of release 1.5 has set up."""
    tenant = await lab.tenant(unique("ns")).create()
    scoped = await clusters.add(ClusterOptions("cli-scoped", audit=True))
    try:
        await install_crds(scoped, "crds/cluster-scoped")
        deployment = {
            "metadata": {"name": keys.KONNECTOR},
            "spec": {
                "selector": {"matchLabels": {"app": "konnector"}},
                "template": {
                    "metadata": {"labels": {"app": "konnector"}},
                    "spec": {
                        "containers": [{"name": "konnector", "image": "example.com/other/konnector:v1"}]
                    },
                },
            },
        }
        await expect(scoped, "POST", "/api/v1/namespaces", {"metadata": {"name": keys.CONSUMER_NAMESPACE}})
        path = f"/apis/apps/v1/namespaces/{keys.CONSUMER_NAMESPACE}/deployments"
        await expect(scoped, "POST", path, deployment)
        mine = Lab(lab.provider, scoped, lab.folder)
        async with tenant.backend():
            done = await mine.bind(tenant, mine.request_file(api))
            again = await mine.bind(tenant, mine.request_file(api))
            forced = await mine.bind(
                tenant, mine.request_file(api), "--konnector-image", "example.com/mine:v2"
            )
        assert (done.code, again.code, forced.code) == (0, 0, 0), done.err + again.err + forced.err
        assert "left as it is" in done.err
        status, binding = await scoped.request("GET", f"/apis/{keys.API_VERSION}/apiservicebindings/{api}")
        assert status == 200
        assert "namespace" not in binding["metadata"]
        after = await expect(scoped, "GET", f"{path}/{keys.KONNECTOR}")
        assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/mine:v2"
    finally:
        await clusters.remove("cli-scoped")


async def test_a_missing_konnector_is_waited_for_with_a_bound(
    clusters: Playground, lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    empty = await clusters.add(ClusterOptions("cli-empty", audit=True))
    try:
        mine = Lab(lab.provider, empty, lab.folder)
        async with tenant.backend():
            skipped = await mine.bind(tenant, mine.request_file(api), "--skip-konnector", "--timeout", "2s")
            installed = await mine.bind(tenant, mine.request_file(api), "--timeout", "2s")
        assert (skipped.code, installed.code) == (4, 4), skipped.err + installed.err
        assert "no konnector is deployed here" in skipped.err
        assert (
            f"left behind (running the command again goes on from there):\n  the export {tenant.namespace}"
            in (skipped.err)
        )
        assert "0 available pods" in installed.err
        assert "Deployment konnector" in installed.err
    finally:
        await clusters.remove("cli-empty")


async def test_an_unreachable_provider_and_a_bad_token_are_told_apart(
    lab: Lab, api: str, unique: Callable[[str], str]
) -> None:
    tenant = await lab.tenant(unique("ns")).create()
    text = tenant.kubeconfig.read_text(encoding="utf-8")
    request = lab.request_file(api)
    mark = lab.consumer.audit_mark()
    tenant.kubeconfig.write_text(text.replace(tenant.token, "expired"), encoding="utf-8")
    expired = await lab.bind(tenant, request, "--skip-konnector")
    tenant.kubeconfig.write_text(text.replace(f":{lab.provider.port}", ":1"), encoding="utf-8")
    away = await lab.bind(tenant, request, "--skip-konnector")
    tenant.kubeconfig.write_text(text, encoding="utf-8")
    refused = await lab.bind(tenant, request, "--skip-konnector", "--refuse-private-provider")
    elsewhere = await lab.bind(
        tenant, request, "--skip-konnector", "--remote-namespace", "default", "--timeout", "1s"
    )
    assert (expired.code, away.code, refused.code, elsewhere.code) == (1, 1, 2, 1)
    assert "Unauthorized" in expired.err
    assert "has expired" in expired.err
    assert "no connection to https://127.0.0.1:1" in away.err
    assert "127.0.0.1" in refused.err
    assert "Forbidden" in elsewhere.err
    assert writes(lab.consumer, mark) == []


async def test_the_shipped_kustomize_base_is_what_the_cli_installs(lab: Lab, control_plane: Any) -> None:
    process = await asyncio.create_subprocess_exec(
        str(control_plane.kubectl),
        "kustomize",
        "manifests/konnector",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    printed = await run_cli("konnector", "manifests")
    assert process.returncode == 0

    def by_name(text: str) -> dict[tuple[str, str], Any]:
        return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}

    assert by_name(out.decode()) == by_name(printed.out)
