"""The step in which the app cluster gets the API: `kubectl bind URL`, and the login that it asks for."""

import asyncio
from typing import Any, Final

from bind_agent.devcluster.demo import names
from bind_agent.devcluster.demo.tour_login import LoginNotFollowed, Visit, follow
from bind_agent.devcluster.demo.tour_pages import printed_address
from bind_agent.devcluster.demo.tour_scene import NotAsPromised, Scene

PERSON: Final = "alice"
"""Who binds: the account of the development issuer for a developer."""

_CLUSTER_BINDINGS: Final = "/apis/klutch.anynines.com/v1alpha1/clusterbindings"


async def bind(scene: Scene) -> None:
    """The login, the choice, and the binding, as the user of the app cluster makes it."""
    out = await _bind(scene)
    scene.narrator.outcome(out)
    scene.facts["tenant"] = await _tenant(scene)
    scene.narrator.fact("namespace", scene.facts["tenant"])
    scene.narrator.fact("person", PERSON)
    out = await scene.kubectl(scene.provider, "get", "clusterbindings", "-A")
    scene.narrator.outcome(f"{out}the login has made this tenant: nobody had to add it")


async def _bind(scene: Scene) -> str:
    """Run the command, and be the person at the browser meanwhile.

    Returns:
        What the command printed.

    Raises:
        CommandFailed: the command failed.
        LoginNotFollowed: the login did not come to its end.
    """
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def heard(line: str) -> None:
        found = printed_address(line)
        if found and not address.done():
            address.set_result(found)

    command = asyncio.ensure_future(
        scene.run(
            *("kubectl", "bind", f"{scene.web}/export"),
            f"--kubeconfig={scene.consumer.kubeconfig}",
            *("--no-browser", "--accept-claims=all", "--skip-konnector", "--wait"),
            *("--timeout=60s", "--login-timeout=90s"),
            heard=heard,
        )
    )
    try:
        either: tuple[asyncio.Future[Any], ...] = (command, address)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not address.done():
            await command
            raise NotAsPromised("kubectl bind ended without having asked for a login")
        await _log_in(scene, address.result(), command)
        out, _ = await command
        return out
    finally:
        command.cancel()
        await asyncio.gather(command, return_exceptions=True)


async def _log_in(scene: Scene, address: str, command: asyncio.Future[tuple[str, str]]) -> None:
    scene.narrator.outcome("it waits, and has printed:")
    scene.narrator.outcome(f"  {address}")
    scene.narrator.outcome(
        f"in a browser: open this address, sign in as {PERSON}, press Bind at {names.KIND}"
    )
    scene.narrator.outcome("the demo does the same by plain HTTP:")
    visit = Visit(PERSON, scene.issuer.url, names.PLURAL, names.GROUP)
    try:
        await follow(address, visit, lambda text: scene.narrator.outcome(f"  {text}"))
    except LoginNotFollowed:
        if command.done():  # then nobody waits for the answer any more, and it says why
            await command
        raise


async def _tenant(scene: Scene) -> str:
    """Namespace of the tenant that the login made."""
    found = await scene.read(scene.provider, _CLUSTER_BINDINGS) or {}
    namespaces = [one["metadata"]["namespace"] for one in found.get("items", ())]
    if len(namespaces) != 1:
        raise NotAsPromised(f"the control plane should have one tenant, and has {len(namespaces)}")
    return str(namespaces[0])
