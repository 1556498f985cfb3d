"""First half of the demonstration: everything that has to be there before somebody asks for a database."""

import secrets
import sys
from base64 import b64encode
from typing import Final

from bind_agent.devcluster.demo import names
from bind_agent.devcluster.demo.tour_scene import API, Scene
from bind_agent.devcluster.issuer.launch import web_arguments
from bind_agent.devcluster.pki import write_private
from bind_agent.devcluster.ports import LOOPBACK, free_port
from bind_agent.devcluster.stage import (
    BACKEND_ACCOUNT,
    BACKEND_NAMESPACE,
    KONNECTOR_ACCOUNT,
    KONNECTOR_NAMESPACE,
)
from bind_agent.manifests import manifests_dir

BACKEND, KONNECTOR, OPERATOR = "backend", "konnector", names.OPERATOR
PROVIDER: Final = "Demo Provider"
_KEY_BYTES: Final = 32
_NO_NODES = """\
A playground has no nodes, so the Deployment among them gets no pods. The program runs as a process instead,
with a token of exactly the ServiceAccount that the Deployment names: what its role forbids, fails."""


async def backend(scene: Scene) -> None:
    """CRDs, roles and the program, with its pages for people of the sign-in service."""
    applied = await scene.kubectl(
        scene.provider, "apply", "--server-side", "-k", str(manifests_dir() / "backend")
    )
    scene.narrator.outcome(f"{_count(applied)} objects applied. {_NO_NODES}")
    key, port = scene.stage.folder / "cookies.key", free_port()
    scene.narrator.command(f"openssl rand -base64 {_KEY_BYTES} > {key}")
    write_private(key, f"{b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}\n")
    web = [*web_arguments(scene.issuer.url, port), f"--cookie-signing-key-file={key}"]
    await scene.start(
        await scene.stage.backend(scene.provider, f"--pretty-name={PROVIDER}", web=web, name=BACKEND),
        account=f"{BACKEND_NAMESPACE}/{BACKEND_ACCOUNT}",
    )
    scene.web = f"http://{LOOPBACK}:{port}"
    scene.narrator.outcome(f"its pages: {scene.web}")
    scene.narrator.fact("pages", pages(scene))


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


def pages(scene: Scene) -> dict[str, str]:
    """Addresses of the pages that people look at."""
    return {
        "catalogue": f"{scene.web}/resources",
        "clusters": f"{scene.web}/clusters",
        "operators": f"{scene.web}/admin",
    }


def _count(applied: str) -> int:
    return len(applied.strip().splitlines())
