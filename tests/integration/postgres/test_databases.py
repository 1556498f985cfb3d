"""What an object gets, keeps and loses, with the operator under its shipped role.

The server is one that the test sees too, as its administrator.

Excluded: the life of the bundled server (`test_server`), and bindings, of which the operator knows nothing.
"""

import asyncio
import base64
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from bind_agent.api.meta import Object
from bind_agent.api.resource import CONFIGMAPS, CORE_EVENTS, SECRETS
from bind_agent.devcluster.demo.model import read_instance
from bind_agent.kube.errors import Invalid
from bind_agent.manifests import load_manifests

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("operator")]

Unique = Callable[[str], str]


async def credentials(bench: Any, obj: Object) -> dict[str, str]:
    meta = obj["metadata"]
    secret = await bench.client.get(SECRETS, f"{meta['name']}-credentials", namespace=meta["namespace"])
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def connect(uri: str) -> Any:
    return psycopg.AsyncConnection.connect(uri, autocommit=True, connect_timeout=5)


async def test_an_object_gets_a_database_that_its_credentials_open(bench: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "orders", comment='it\'s "quoted" \\ text'))
    name = read_instance(obj).database
    status = obj["status"]
    assert {key: status[key] for key in ("phase", "database", "role", "connectionLimit", "secretName")} == {
        "phase": "Ready",
        "database": name,
        "role": name,
        "connectionLimit": 5,
        "secretName": "orders-credentials",
    }
    assert [(entry["type"], entry["status"]) for entry in status["conditions"]] == [
        ("Ready", "True"),
        ("CredentialsReady", "True"),
        ("DatabaseReady", "True"),
    ]

    values = await credentials(bench, obj)
    assert set(values) == {"host", "port", "database", "username", "password", "uri"}
    async with await connect(values["uri"]) as link:
        await link.execute("CREATE TABLE orders (id int PRIMARY KEY, what text)")
        await link.execute("INSERT INTO orders VALUES (1, 'tea')")
        assert await (await link.execute("SELECT what FROM orders")).fetchall() == [("tea",)]
    parts = {"host": values["host"], "port": values["port"], "dbname": values["database"]}
    async with await connect(
        psycopg.conninfo.make_conninfo(**parts, user=values["username"], password=values["password"])
    ) as link:
        assert await (await link.execute("SELECT current_user")).fetchone() == (name,)

    secret = await bench.client.get(SECRETS, "orders-credentials", namespace=namespace)
    owner = {"kind": "PostgreSQL", "name": "orders", "uid": obj["metadata"]["uid"]}
    assert secret["metadata"]["ownerReferences"][0].items() >= owner.items()
    template = load_manifests("examples/postgres/template.yaml")[0]
    selector = template["spec"]["permissionClaims"][0]["selector"]["labelSelectors"][0]
    assert secret["metadata"]["labels"].items() >= selector.items()
    config = await bench.client.get(CONFIGMAPS, "orders-connection", namespace=namespace)
    assert config["data"] == {
        "host": values["host"],
        "port": values["port"],
        "database": name,
        "sslmode": "disable",
    }
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    assert await bench.administrate(comment, name) == [('it\'s "quoted" \\ text',)]


async def test_a_changed_spec_takes_effect_on_the_server(bench: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(
        await bench.create(namespace, "db", parameters={"statement_timeout": "30s", "work_mem": "8MB"})
    )
    before = await credentials(bench, obj)
    name = obj["status"]["database"]
    query = "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s"
    assert await bench.administrate(query, name) == [(5,)]

    await bench.patch(
        obj,
        connectionLimit=1,
        parameters={"statement_timeout": "7s", "work_mem": None, "timezone": "Asia/Tokyo"},
    )
    obj = await bench.ready(obj)

    assert await bench.administrate(query, name) == [(1,)]
    assert obj["status"]["connectionLimit"] == 1
    assert obj["status"]["parameters"] == {"statement_timeout": "7s", "timezone": "Asia/Tokyo"}
    assert await credentials(bench, obj) == before
    async with await connect(before["uri"]) as link:
        for setting, value in (("statement_timeout", "7s"), ("timezone", "Asia/Tokyo"), ("work_mem", "4MB")):
            row = await (await link.execute("SELECT current_setting(%s)", (setting,))).fetchone()
            assert row == (value,)
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            await connect(before["uri"])


async def test_equal_names_in_two_namespaces_are_two_databases(bench: Any, unique: Unique) -> None:
    objects = [await bench.create(await bench.namespace(unique("ns")), "same") for _ in range(2)]
    first, second = [await bench.ready(obj) for obj in objects]
    assert first["status"]["database"] != second["status"]["database"]
    mine, theirs = [await credentials(bench, obj) for obj in (first, second)]
    async with await connect(mine["uri"]) as link:
        await link.execute("CREATE TABLE only_here ()")
    async with await connect(theirs["uri"]) as link:
        row = await (await link.execute("SELECT to_regclass('only_here')")).fetchone()
        assert row == (None,)
    with pytest.raises(psycopg.OperationalError):
        await connect(mine["uri"].replace(f"/{mine['database']}?", f"/{theirs['database']}?"))
    may = "SELECT has_database_privilege(%s, %s, 'CONNECT')"
    assert await bench.administrate(may, mine["username"], theirs["database"]) == [(False,)]
    assert await bench.administrate(may, mine["username"], mine["database"]) == [(True,)]

    await bench.delete(first)
    await bench.gone(first)
    async with await connect(theirs["uri"]):
        pass


async def test_deletion_leaves_nothing_even_with_an_open_session(bench: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db"))
    name = obj["status"]["database"]
    assert await bench.on_server(name) == (1, 1)
    link = await connect((await credentials(bench, obj))["uri"])
    try:
        await link.execute("CREATE TABLE kept_busy ()")
        await bench.delete(obj)
        await bench.gone(obj)
    finally:
        await link.close()
    assert await bench.on_server(name) == (0, 0)

    left = [
        *(await bench.client.list(SECRETS, namespace=namespace)).items,
        *(await bench.client.list(CONFIGMAPS, namespace=namespace)).items,
    ]
    # The cluster puts this one into each namespace, in its own time.
    assert {one["metadata"]["name"] for one in left} <= {"kube-root-ca.crt"}


async def test_a_foreign_role_and_database_of_the_name_are_never_touched(
    bench: Any, operator: Any, unique: Unique
) -> None:
    namespace = await bench.namespace(unique("ns"))
    operator.send(signal.SIGSTOP)
    try:
        obj = await bench.create(namespace, "db")
        name = read_instance(obj).database
        await bench.administrate(f'CREATE ROLE "{name}" NOLOGIN CONNECTION LIMIT 77')
        await bench.administrate(f'CREATE DATABASE "{name}"')
    finally:
        operator.send(signal.SIGCONT)
    facts = (
        "SELECT r.oid, rolcanlogin, rolconnlimit, rolconfig, d.oid, datdba, datacl::text, "
        "shobj_description(r.oid, 'pg_authid') FROM pg_roles r, pg_database d "
        "WHERE rolname = %s AND datname = %s"
    )
    before = await bench.administrate(facts, name, name)

    obj = await bench.reason(obj, "RoleConflict")
    assert obj["status"]["phase"] == "Failed"
    assert "rename or drop it" in obj["status"]["conditions"][0]["message"]
    assert await bench.client.get_or_none(SECRETS, "db-credentials", namespace=namespace) is None
    assert await bench.administrate(facts, name, name) == before

    # The role is ours after somebody dropped the foreign one, the database still is not.
    await bench.administrate(f'DROP ROLE "{name}"')
    await bench.reason(obj, "DatabaseConflict")
    await bench.administrate(f'DROP DATABASE "{name}"')
    await bench.ready(obj)

    # And one that is in the way when the object goes stays behind.
    other = await bench.reason(await _taken(bench, operator, namespace), "RoleConflict")
    secret = await bench.client.create(
        SECRETS, {"metadata": {"name": "taken-credentials", "namespace": namespace}}
    )
    await bench.delete(other)
    await bench.gone(other)
    assert await bench.on_server(read_instance(other).database) == (0, 1)
    assert await bench.client.get(SECRETS, "taken-credentials", namespace=namespace) == secret
    await bench.administrate(f'DROP ROLE "{read_instance(other).database}"')


async def _taken(bench: Any, operator: Any, namespace: str) -> Object:
    operator.send(signal.SIGSTOP)
    try:
        obj: Object = await bench.create(namespace, "taken")
        await bench.administrate(f'CREATE ROLE "{read_instance(obj).database}"')
    finally:
        operator.send(signal.SIGCONT)
    return obj


@pytest.mark.parametrize(
    ("resource", "suffix", "reason"),
    [(SECRETS, "credentials", "SecretConflict"), (CONFIGMAPS, "connection", "ConfigMapConflict")],
    ids=["secret", "configmap"],
)
async def test_a_foreign_object_of_the_name_stays_and_blocks_until_it_is_gone(
    bench: Any, unique: Unique, resource: Any, suffix: str, reason: str
) -> None:
    namespace = await bench.namespace(unique("ns"))
    foreign = await bench.client.create(
        resource, {"metadata": {"name": f"db-{suffix}", "namespace": namespace}, "data": {"host": "c2VjcmV0"}}
    )
    obj = await bench.reason(await bench.create(namespace, "db"), reason)
    assert await bench.client.get(resource, f"db-{suffix}", namespace=namespace) == foreign
    assert await bench.on_server(read_instance(obj).database) == (0, 0)
    await bench.client.delete(resource, f"db-{suffix}", namespace=namespace)
    await bench.ready(obj)


async def test_a_deleted_secret_comes_back_with_a_new_password(bench: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db"))
    old = await credentials(bench, obj)
    await bench.client.delete(SECRETS, "db-credentials", namespace=namespace)

    async def rotated() -> Object | None:
        now: Object = await bench.get(obj)
        reasons = {entry["type"]: entry["reason"] for entry in now["status"]["conditions"]}
        return now if reasons["CredentialsReady"] == "PasswordRotated" else None

    obj = await bench.until(rotated)
    new = await credentials(bench, obj)
    assert new["password"] != old["password"]
    assert new["username"] == old["username"]
    async with await connect(new["uri"]):
        pass
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await connect(old["uri"])

    async def told() -> bool:
        events = await bench.client.list(CORE_EVENTS, namespace=namespace)
        return any(event["reason"] == "PasswordRotated" for event in events.items)

    await bench.until(told)


@pytest.mark.parametrize("by", ["the user of the database", "somebody who edits the Secret"])
async def test_a_password_changed_by_hand_is_replaced(bench: Any, unique: Unique, by: str) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db"))
    old = await credentials(bench, obj)
    if by == "the user of the database":
        async with await connect(old["uri"]) as link:
            await link.execute("ALTER ROLE CURRENT_USER PASSWORD 'guess'")
    else:
        weak = base64.b64encode(b"guess").decode()
        await bench.client.merge_patch(
            SECRETS, "db-credentials", {"data": {"password": weak}}, namespace=namespace
        )

    async def replaced() -> bool:
        return (await credentials(bench, obj))["password"] not in {old["password"], "guess"}

    await bench.until(replaced)
    async with await connect((await credentials(bench, obj))["uri"]):
        pass


async def test_what_is_removed_by_hand_comes_back(bench: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db", comment="mine"))
    before = await credentials(bench, obj)
    name = obj["status"]["database"]
    await bench.administrate(f'DROP DATABASE "{name}"')
    await bench.administrate(f'DROP ROLE "{name}"')
    await bench.client.delete(CONFIGMAPS, "db-connection", namespace=namespace)

    async def back() -> bool:
        config = await bench.client.get_or_none(CONFIGMAPS, "db-connection", namespace=namespace)
        return config is not None and await bench.on_server(name) == (1, 1)

    await bench.until(back)
    assert await credentials(bench, obj) == before
    async with await connect(before["uri"]):
        pass


async def test_a_restart_changes_nothing(bench: Any, operator: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db", parameters={"lock_timeout": "1s"}))
    secret = await bench.client.get(SECRETS, "db-credentials", namespace=namespace)
    query = (
        "SELECT d.oid, r.oid, rolpassword FROM pg_database d, pg_authid r WHERE datname = %s AND rolname = %s"
    )
    before = await bench.administrate(query, obj["status"]["database"], obj["status"]["database"])
    assert await operator.stop() == 0
    await operator.start()
    mark = bench.cluster.audit_mark()
    await asyncio.sleep(2.5)  # two looks at everything
    assert await bench.client.get(SECRETS, "db-credentials", namespace=namespace) == secret
    assert await bench.get(obj) == obj
    assert before == await bench.administrate(query, obj["status"]["database"], obj["status"]["database"])
    writes = [
        f"{event.verb} {event.uri}"
        for event in bench.cluster.audit_requests(since=mark)
        if event.user == operator.identity and event.verb not in {"get", "list", "watch"}
    ]
    assert [write for write in writes if namespace in write] == []


async def test_a_change_while_the_operator_is_down_is_caught_up(
    bench: Any, operator: Any, unique: Unique
) -> None:
    namespace = await bench.namespace(unique("ns"))
    changed, deleted = [await bench.ready(await bench.create(namespace, name)) for name in ("one", "two")]
    assert await operator.stop() == 0
    await bench.patch(changed, connectionLimit=9)
    await bench.delete(deleted)
    await operator.start()
    assert (await bench.ready(changed))["status"]["connectionLimit"] == 9
    await bench.gone(deleted)
    assert await bench.on_server(deleted["status"]["database"]) == (0, 0)


async def test_an_api_server_that_was_away_is_taken_up_again(bench: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db"))
    await bench.cluster.apiserver.restart()
    await bench.cluster.wait_ready()
    await bench.patch(obj, connectionLimit=6)
    assert (await bench.ready(obj))["status"]["connectionLimit"] == 6


async def test_a_value_that_the_server_refuses_is_reported_and_recovers(bench: Any, unique: Unique) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.create(namespace, "db", parameters={"statement_timeout": "soon"})
    obj = await bench.reason(obj, "Rejected")
    assert "statement_timeout" in obj["status"]["conditions"][0]["message"]
    assert await bench.on_server(read_instance(obj).database) == (0, 0)
    await bench.patch(obj, parameters={"statement_timeout": "1min"})
    obj = await bench.ready(obj)
    assert obj["status"]["parameters"] == {"statement_timeout": "1min"}


@pytest.mark.parametrize(
    ("name", "spec", "complaint"),
    [
        ("db", {"connectionLimit": 0}, "connectionLimit"),
        ("db", {"connectionLimit": 101}, "connectionLimit"),
        ("db", {"parameters": {"search_path": "x"}}, "possible parameters are"),
        ("db", {"parameters": {"lock_timeout": "1" * 65}}, "lock_timeout"),
        ("db", {"comment": "two\nlines"}, "comment"),
        ("d" * 201, {}, "is invalid"),
    ],
    ids=["limit-zero", "limit-high", "unknown-parameter", "long-value", "control-character", "long-name"],
)
async def test_the_api_server_refuses_what_makes_no_sense(
    bench: Any, unique: Unique, name: str, spec: dict[str, Any], complaint: str
) -> None:
    namespace = await bench.namespace(unique("ns"))
    with pytest.raises(Invalid, match=complaint):
        await bench.create(namespace, name, **spec)
    accepted = {"connectionLimit": 100, "parameters": {"lock_timeout": "1" * 6}, "comment": "one line: é"}
    await bench.ready(await bench.create(namespace, "d" * 200, **accepted))


async def test_a_mirror_and_the_operator_do_not_fight_over_the_object(bench: Any, unique: Unique) -> None:
    """As a konnector does it: apply by force with annotations of its own, delete by UID."""
    namespace = await bench.namespace(unique("ns"))

    def copy(limit: int) -> Object:
        return {
            "apiVersion": "databases.example.com/v1",
            "kind": "PostgreSQL",
            "metadata": {
                "name": "db",
                "namespace": namespace,
                "annotations": {
                    "klutch.anynines.com/bound": "true",
                    "klutch.anynines.com/digest": str(limit),
                },
            },
            "spec": {"connectionLimit": limit},
        }

    manager = "klutch.anynines.com"
    resource = bench.resource
    obj = await bench.ready(await bench.client.apply(resource, copy(3), field_manager=manager))
    before = obj["metadata"]
    assert before["finalizers"] == ["databases.example.com/database"]
    own = {key for key in before["annotations"] if key.startswith("databases.example.com/")}
    assert own

    await bench.client.apply(resource, copy(4), field_manager=manager)
    obj = await bench.ready(obj)
    assert obj["status"]["connectionLimit"] == 4
    assert obj["metadata"]["finalizers"] == before["finalizers"]
    assert own <= set(obj["metadata"]["annotations"])
    assert obj["metadata"]["annotations"]["klutch.anynines.com/digest"] == "4"

    async def settled() -> bool:
        first = await bench.get(obj)
        await asyncio.sleep(1.5)
        return bool(first == await bench.get(obj))

    await bench.until(settled)
    await bench.delete(obj)
    await bench.gone(obj)


async def test_no_password_is_written_anywhere_but_into_the_secret(
    bench: Any, operator: Any, unique: Unique
) -> None:
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db"))
    passwords = [(await credentials(bench, obj))["password"]]
    await bench.client.delete(SECRETS, "db-credentials", namespace=namespace)

    async def back() -> bool:
        return await bench.client.get_or_none(SECRETS, "db-credentials", namespace=namespace) is not None

    await bench.until(back)
    passwords.append((await credentials(bench, obj))["password"])
    await bench.patch(obj, parameters={"work_mem": "nonsense"})
    await bench.reason(obj, "Rejected")

    events = await bench.client.list(CORE_EVENTS, namespace=namespace)
    config = await bench.client.list(CONFIGMAPS, namespace=namespace)
    texts = [
        operator.text(),
        str(await bench.get(obj)),
        str(events.items),
        str(config.items),
        bench.postgres.log_text(),
        str([event.raw for event in bench.cluster.audit_requests()]),
    ]
    assert len(set(passwords)) == 2
    assert [text for text in texts for password in passwords if password in text] == []
    assert "PasswordRotated" in texts[2]


async def test_the_shipped_role_has_every_right_that_is_used_and_no_other(
    bench: Any, operator: Any, unique: Unique
) -> None:
    mark = bench.cluster.audit_mark()
    assert await operator.stop() == 0
    await operator.start()
    namespace = await bench.namespace(unique("ns"))
    obj = await bench.ready(await bench.create(namespace, "db"))
    await bench.client.merge_patch(SECRETS, "db-credentials", {"data": {"host": None}}, namespace=namespace)
    await bench.client.merge_patch(CONFIGMAPS, "db-connection", {"data": {"host": "x"}}, namespace=namespace)

    async def repaired() -> bool:
        config = await bench.client.get(CONFIGMAPS, "db-connection", namespace=namespace)
        return config["data"]["host"] != "x" and "host" in await credentials(bench, obj)

    await bench.until(repaired)
    await bench.delete(obj)
    await bench.gone(obj)

    requests = [e for e in bench.cluster.audit_requests(since=mark) if e.user == operator.identity]
    assert [f"{event.verb} {event.uri} {event.code}" for event in requests if event.code in {401, 403}] == []
    used = {
        (event.group, f"{event.resource}/{event.subresource}".rstrip("/"), event.verb)
        for event in requests
        if event.resource
    }
    role = next(obj for obj in load_manifests("examples/postgres/rbac.yaml") if obj["kind"] == "ClusterRole")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used == granted
