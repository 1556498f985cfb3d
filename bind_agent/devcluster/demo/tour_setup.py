"""First half of the demonstration: everything that has to be there before somebody asks for a database."""

import sys

import yaml

from bind_agent.devcluster.demo import names
from bind_agent.devcluster.demo.tour_scene import API, TENANT, Scene
from bind_agent.devcluster.stage import (
    BACKEND_ACCOUNT,
    BACKEND_NAMESPACE,
    KONNECTOR_ACCOUNT,
    KONNECTOR_NAMESPACE,
)
from bind_agent.manifests import manifests_dir

BACKEND, KONNECTOR, OPERATOR = "backend", "konnector", names.OPERATOR
_NO_NODES = """\
A playground has no nodes, so the Deployment among them gets no pods. The program runs as a process instead,
with a token of exactly the ServiceAccount that the Deployment names: what its role forbids, fails."""


async def backend(scene: Scene) -> None:
    """CRDs, roles and the program."""
    applied = await scene.kubectl(
        scene.provider, "apply", "--server-side", "-k", str(manifests_dir() / "backend")
    )
    scene.narrator.outcome(f"{_count(applied)} objects applied. {_NO_NODES}")
    await scene.start(
        await scene.stage.backend(scene.provider, name=BACKEND),
        account=f"{BACKEND_NAMESPACE}/{BACKEND_ACCOUNT}",
    )


async def service(scene: Scene) -> None:
    """CRD, template and operator of the service."""
    files = [word for name in ("crd", "rbac", "template") for word in ("-f", scene.manifest(f"{name}.yaml"))]
    await scene.kubectl(scene.provider, "apply", "--server-side", *files)
    scene.narrator.outcome(f"the API {API}, rights for its operator, and the template that offers it")
    kubeconfig = await scene.stage.account_kubeconfig(scene.provider, OPERATOR, OPERATOR)
    serving = f"serving {API}".encode()

    async def ready() -> bool:
        return serving in server.log.read_bytes()

    server = scene.playground.program(
        OPERATOR,
        [sys.executable, "-m", "bind_agent.devcluster.demo", f"--kubeconfig={kubeconfig}"],
        ready=ready,
        log=scene.stage.folder / f"{OPERATOR}.log",
    )
    await scene.start(server, account=f"{OPERATOR}/{OPERATOR}")
    scene.narrator.outcome("it has brought a PostgreSQL server along, which listens on this machine only")


async def grant(scene: Scene) -> None:
    """The ClusterRole that lets the backend hand the service on."""
    await scene.kubectl(
        scene.provider,
        *("apply", "--server-side", "-f", "-"),
        source=("bind-backend", "rbac", API, f"--kubeconfig={scene.provider.kubeconfig}"),
    )
    scene.narrator.outcome(
        "rights on this API and on what its template claims: the backend has no others to give away"
    )


async def tenant(scene: Scene) -> None:
    """A tenant for the app cluster, and the kubeconfig that it gets."""
    identity = await scene.kubectl(
        scene.consumer, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"
    )
    scene.narrator.outcome(identity)
    _, said = await scene.run(
        *("bind-backend", "tenant", "add", TENANT),
        f"--cluster-id={identity}",
        f"--out={scene.tenant_kubeconfig}",
        f"--kubeconfig={scene.provider.kubeconfig}",
    )
    scene.narrator.outcome(said.partition("\n")[0])
    scene.facts["tenant"] = _namespace_of(scene.tenant_kubeconfig.read_text())
    scene.narrator.fact("namespace", scene.facts["tenant"])


async def konnector(scene: Scene) -> None:
    """Roles and program of the agent in the app cluster."""
    applied = await scene.kubectl(
        scene.consumer,
        *("apply", "--server-side", "-f", "-"),
        source=("kubectl", "bind", "konnector", "manifests"),
    )
    scene.narrator.outcome(f"{_count(applied)} objects applied. This program runs as a process, too.")
    await scene.start(
        await scene.stage.konnector(scene.consumer, name=KONNECTOR),
        account=f"{KONNECTOR_NAMESPACE}/{KONNECTOR_ACCOUNT}",
    )


async def bind(scene: Scene) -> None:
    """The binding, as the user of the app cluster makes it."""
    out, _ = await scene.run(
        *("kubectl", "bind", "apiservice"),
        f"--kubeconfig={scene.consumer.kubeconfig}",
        f"--remote-kubeconfig={scene.tenant_kubeconfig}",
        f"--file={scene.manifest('request.yaml')}",
        *("--accept-claims=all", "--skip-konnector", "--wait", "--timeout=60s"),
    )
    scene.narrator.outcome(out)


def _count(applied: str) -> int:
    return len(applied.strip().splitlines())


def _namespace_of(kubeconfig: str) -> str:
    """Namespace of the current context: the tenant's on the provider."""
    document = yaml.safe_load(kubeconfig)
    contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
    return str(contexts[document["current-context"]]["namespace"])
