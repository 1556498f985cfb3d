"""Second half of the demonstration: one database from the wish to the last trace of it."""

import json
from typing import Final

from bind_agent.devcluster.cluster import Cluster
from bind_agent.devcluster.demo import names, tour_sql
from bind_agent.devcluster.demo.tour_scene import NotAsPromised, Scene, object_path
from bind_agent.devcluster.demo.tour_sql import Administrator, Credentials
from bind_agent.devcluster.demo.tour_telling import columns

NEW_LIMIT: Final = 2
_URI: Final = "go-template={{.data.uri | base64decode}}"
#: What Kubernetes itself puts into each namespace.
_SYSTEM: Final = frozenset({"configmap/kube-root-ca.crt"})


async def create(scene: Scene) -> None:
    """The object, its status, and its copy on the control plane."""
    await scene.kubectl(scene.consumer, "apply", "-f", scene.manifest("postgresql.yaml"))
    await _wait(scene, f"{names.PLURAL[:-1]}/{scene.name}", "--for=condition=Ready")
    scene.narrator.outcome(await _get(scene, names.PLURAL))
    path = object_path(names.PLURAL, scene.namespace, scene.name)
    status = (await scene.read(scene.consumer, path) or {}).get("status", {})
    scene.facts["database"] = status.get("database", "")
    scene.facts["service namespace"] = await _service_namespace(scene)
    scene.narrator.fact("phase", status.get("phase"))
    scene.narrator.fact("database", scene.facts["database"])
    out = await scene.kubectl(
        scene.provider, "get", names.PLURAL, "-n", scene.facts["service namespace"], "-o", "wide"
    )
    scene.narrator.outcome(out)


async def credentials(scene: Scene) -> None:
    """The Secret and the ConfigMap of the service, in the user's namespace."""
    await _wait(scene, f"secret/{scene.secret}", f"configmap/{scene.config_map}", "--for=create")
    keys = await scene.kubectl(
        scene.consumer,
        *("get", "secret", scene.secret, "-n", scene.namespace),
        *("-o", "go-template={{range $key, $value := .data}}{{$key}} {{end}}"),
    )
    scene.narrator.outcome(f"keys of the Secret: {keys.strip()} (no value is shown here)")
    address = await scene.kubectl(
        scene.consumer, "get", "configmap", scene.config_map, "-n", scene.namespace, "-o", "jsonpath={.data}"
    )
    scene.narrator.outcome(address)
    scene.narrator.fact("keys", sorted(keys.split()))
    scene.narrator.fact("address", json.loads(address))


async def sql(scene: Scene) -> None:
    """Write and read in the database, with nothing but what stands in the app cluster."""
    scene.narrator.command(psql_hint(scene))
    login = await _login(scene)
    for statement in (*tour_sql.WRITE, tour_sql.READ):
        scene.narrator.outcome(f"{login.database}=> {statement};")
    rows = await tour_sql.round_trip(login)
    if rows != tour_sql.WRITTEN:
        raise NotAsPromised(f"the database gives back {rows!r}")
    scene.narrator.outcome(columns(rows, header=("id", "item")))
    scene.narrator.fact("rows", [list(row) for row in rows])


async def change(scene: Scene) -> None:
    """Another connection limit, in the status of the app cluster and in force on the server."""
    login = await _login(scene)
    before = await tour_sql.connection_limit(login)
    await scene.kubectl(
        scene.consumer,
        *("patch", names.PLURAL[:-1], scene.name, "-n", scene.namespace, "--type=merge"),
        f'--patch={{"spec":{{"connectionLimit":{NEW_LIMIT}}}}}',
    )
    await _wait(
        scene, f"{names.PLURAL[:-1]}/{scene.name}", f"--for=jsonpath={{.status.connectionLimit}}={NEW_LIMIT}"
    )
    scene.narrator.outcome(await _get(scene, names.PLURAL))
    after = await tour_sql.connection_limit(login)
    opened, words = await tour_sql.sessions_until_refused(login, wanted=NEW_LIMIT)
    if (after, opened) != (NEW_LIMIT, NEW_LIMIT):
        raise NotAsPromised(f"the limit should be {NEW_LIMIT}: pg_roles says {after}, {opened} sessions open")
    rows = await tour_sql.rows(login)
    scene.narrator.outcome(f"limit of the role in pg_roles: {before} before, {after} now")
    scene.narrator.outcome(f"session {opened + 1} is refused: {words}")
    scene.narrator.outcome(f"the {len(rows)} rows are still there")
    for name, value in (("before", before), ("after", after), ("sessions", opened), ("rows", len(rows))):
        scene.narrator.fact(name, value)


async def delete(scene: Scene) -> None:
    """The end of the object, and of everything that came from it."""
    login = await _login(scene)
    administrator = Administrator.of(login.port)
    await scene.kubectl(
        scene.consumer, "delete", names.PLURAL[:-1], scene.name, "-n", scene.namespace, "--timeout=60s"
    )
    here, there = scene.namespace, scene.facts["service namespace"]
    sides = (("app cluster", scene.consumer, here), ("control plane", scene.provider, there))
    for side, cluster, namespace in sides:
        for resource, name in (
            (names.PLURAL, scene.name),
            ("secrets", scene.secret),
            ("configmaps", scene.config_map),
        ):
            await _gone(scene, cluster, resource, namespace, name)
        left = await _left(scene, cluster, namespace)
        if left:
            raise NotAsPromised(f"left behind in {cluster.name}, namespace {namespace}: {', '.join(left)}")
        scene.narrator.outcome(f"{side}: object, Secret and ConfigMap are gone")
        scene.narrator.fact(cluster.name, {"left": left})
    scene.narrator.command(f'{" ".join(administrator.words)} -c "{tour_sql.LEFT_DATABASES % _quoted(scene)}"')
    databases, roles = await administrator.left(scene.facts["database"])
    if databases or roles:
        raise NotAsPromised(f"the server still has {databases} databases and {roles} roles of the object")
    scene.narrator.outcome("PostgreSQL: database and role are dropped")
    scene.narrator.fact("postgresql", {"databases": databases, "roles": roles})


def psql_hint(scene: Scene) -> str:
    """How a person logs in to the database; the password goes from the Secret to psql, past all eyes."""
    words = scene.kubectl_words(
        scene.consumer, "get", "secret", scene.secret, "-n", scene.namespace, "-o", f"'{_URI}'"
    )
    return f'psql "$({" ".join(words)})"'


def _quoted(scene: Scene) -> str:
    return f"'{scene.facts['database']}'"


async def _login(scene: Scene) -> Credentials:
    """Credentials as the app cluster has them now."""
    secret = await scene.read(scene.consumer, object_path("secrets", scene.namespace, scene.secret))
    if secret is None:
        raise NotAsPromised(f"the Secret {scene.secret} is not in the app cluster any more")
    return Credentials.read(secret)


async def _wait(scene: Scene, *arguments: str) -> None:
    await scene.kubectl(scene.consumer, "wait", *arguments, "-n", scene.namespace, "--timeout=60s")


async def _get(scene: Scene, resource: str) -> str:
    return await scene.kubectl(scene.consumer, "get", resource, "-n", scene.namespace)


async def _service_namespace(scene: Scene) -> str:
    """The control plane's namespace for the user's namespace."""
    record = await scene.read(
        scene.provider,
        f"/apis/klutch.anynines.com/v1alpha1/namespaces/{scene.facts['tenant']}/apiservicenamespaces/"
        f"{scene.namespace}",
    )
    found = (record or {}).get("status", {}).get("namespace", "")
    if not found:
        raise NotAsPromised(f"the control plane has no namespace for {scene.namespace} of the app cluster")
    return str(found)


async def _gone(scene: Scene, cluster: Cluster, resource: str, namespace: str, name: str) -> None:
    path = object_path(resource, namespace, name)

    async def absent() -> bool:
        return await scene.read(cluster, path) is None

    await scene.until(absent, f"{resource} {namespace}/{name} gone from {cluster.name}")


async def _left(scene: Scene, cluster: Cluster, namespace: str) -> list[str]:
    """What of the kinds that crossed is left in a namespace, Kubernetes' own aside."""
    kinds = f"{names.PLURAL},secrets,configmaps"
    out = await scene.kubectl(cluster, "get", kinds, "-n", namespace, "-o", "name")
    return sorted(set(out.split()) - _SYSTEM)
