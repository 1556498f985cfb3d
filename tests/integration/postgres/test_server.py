"""The bundled server, and the operator as a process: how both start, end, and are started again.

Excluded: what happens to an object on a server that runs (`test_databases`).
"""

import asyncio
import base64
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bind_agent.api.meta import Object
from bind_agent.api.resource import CRDS, SECRETS
from bind_agent.devcluster.demo import bundle, server
from bind_agent.devcluster.demo.bundle import ServerFailed, User
from bind_agent.manifests import load_manifests

pytestmark = pytest.mark.integration

Unique = Callable[[str], str]


def processes(marker: str) -> list[int]:
    """Processes that have a text in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if marker in line:
                found.append(int(entry.name))
    return found


async def uri_of(bench: Any, obj: Object) -> str:
    secret = await bench.client.get(SECRETS, "db-credentials", namespace=obj["metadata"]["namespace"])
    return base64.b64decode(secret["data"]["uri"]).decode()


async def test_a_restart_with_the_same_data_keeps_database_port_and_password(
    bench: Any, make_operator: Any, public_folder: Path, unique: Unique
) -> None:
    data = public_folder / unique("data")
    operator = make_operator("--data-dir", str(data))
    await operator.start()
    try:
        namespace = await bench.namespace(unique("ns"))
        obj = await bench.ready(await bench.create(namespace, "db"))
        secret = await bench.client.get(SECRETS, "db-credentials", namespace=namespace)
        uri = await uri_of(bench, obj)
        async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as link:
            await link.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            serving = processes(str(data))
            assert serving
            assert await operator.stop() == 0
        assert processes(str(data)) == []

        await operator.start()
        async with await psycopg.AsyncConnection.connect(uri) as link:
            assert await (await link.execute("SELECT answer FROM kept")).fetchone() == (42,)
        assert await bench.client.get(SECRETS, "db-credentials", namespace=namespace) == secret
        await bench.delete(obj)
        await bench.gone(obj)
    finally:
        await operator.stop()


async def test_without_data_of_the_past_the_secret_gives_access_to_a_new_database(
    bench: Any, make_operator: Any, unique: Unique
) -> None:
    operator = make_operator()
    await operator.start()
    try:
        namespace = await bench.namespace(unique("ns"))
        obj = await bench.ready(await bench.create(namespace, "db"))
        password = psycopg.conninfo.conninfo_to_dict(await uri_of(bench, obj))["password"]
        await operator.stop()
        await operator.start()

        async def reachable() -> bool:
            uri = await uri_of(bench, obj)
            try:
                async with await psycopg.AsyncConnection.connect(uri):
                    return psycopg.conninfo.conninfo_to_dict(uri)["password"] == password
            except psycopg.OperationalError:
                return False

        await bench.until(reachable)
        await bench.delete(obj)
        await bench.gone(obj)
    finally:
        await operator.stop()


async def test_a_killed_operator_takes_its_server_along(
    make_operator: Any, public_folder: Path, bench: Any, unique: Unique
) -> None:
    data = public_folder / unique("data")
    operator = make_operator("--data-dir", str(data))
    await operator.start()
    assert processes(str(data))
    await operator.stop(signal.SIGKILL)

    async def ended() -> bool:
        return processes(str(data)) == []

    await bench.until(ended)
    await operator.start()  # nothing is in the way of the next one
    assert await operator.stop() == 0


async def test_a_server_that_dies_ends_the_operator_with_a_message(
    make_operator: Any, public_folder: Path, unique: Unique
) -> None:
    data = public_folder / unique("data")
    operator = make_operator("--data-dir", str(data))
    await operator.start()
    os.kill(int((data / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
    assert await operator.stop(signal.SIGCONT) == 1
    assert "the PostgreSQL server ended" in operator.text()


async def test_the_operator_waits_for_the_api_and_can_be_stopped_meanwhile(
    bench: Any, make_operator: Any, unique: Unique
) -> None:
    manifest = load_manifests("examples/postgres/crd.yaml")[0]
    name = manifest["metadata"]["name"]
    await bench.client.delete(CRDS, name)

    async def gone() -> bool:
        return await bench.client.get_or_none(CRDS, name) is None

    await bench.until(gone)
    operator = make_operator()
    await operator.start(wait_for="waiting for the API")
    assert await operator.stop() == 0
    await operator.start(wait_for="waiting for the API")
    try:
        await bench.client.create(CRDS, manifest)
        await bench.served()
        namespace = await bench.namespace(unique("ns"))
        obj = await bench.ready(await bench.create(namespace, "db"))
        await bench.delete(obj)
        await bench.gone(obj)
    finally:
        await operator.stop()


async def test_an_administrator_without_superuser_rights_is_enough(
    bench: Any, make_operator: Any, unique: Unique
) -> None:
    await bench.administrate("CREATE ROLE keeper LOGIN CREATEROLE CREATEDB PASSWORD 'keeper-secret'")
    await bench.administrate("CREATE DATABASE keeper OWNER keeper")
    port = bench.postgres.port
    operator = make_operator("--sslmode", "disable")
    # By the environment: a password on the command line is for everybody to see.
    dsn = f"postgresql://keeper:keeper-secret@127.0.0.1:{port}/keeper"
    await operator.start(env={"POSTGRESQL_OPERATOR_DSN": dsn})
    try:
        namespace = await bench.namespace(unique("ns"))
        spec = {"parameters": {"work_mem": "2MB"}, "comment": "x"}
        obj = await bench.ready(await bench.create(namespace, "db", **spec))
        obj = await bench.ready(await bench.patch(obj, connectionLimit=2, parameters={"work_mem": None}))
        limit = "SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = %s"
        assert await bench.administrate(limit, obj["status"]["role"]) == [(2, None)]
        link = await psycopg.AsyncConnection.connect(await uri_of(bench, obj))
        await link.execute("CREATE TABLE t ()")
        await bench.delete(obj)
        await bench.gone(obj)
        await link.close()
        assert await bench.on_server(obj["status"]["database"]) == (0, 0)
    finally:
        await operator.stop()
        await bench.administrate("DROP DATABASE keeper")
        await bench.administrate("DROP ROLE keeper")
    assert "keeper-secret" not in operator.text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dsn", "host=x secret-word"], "not a connection string"),
        (["--dsn", "postgresql://a:secret-word@/x"], "--advertise is needed"),
        (["--dsn", "postgresql://a:secret-word@h/x", "--advertise", "h:0"], "port must be a number"),
        (["--dsn", "postgresql://a:secret-word@127.0.0.1:1/x"], "does not answer"),
        (["--kubeconfig", "/nowhere"], "there is no kubeconfig"),
    ],
    ids=["malformed", "no-host", "port", "unreachable", "kubeconfig"],
)
async def test_options_that_cannot_be_used_end_with_one_line(
    make_operator: Any, options: list[str], message: str
) -> None:
    operator = make_operator(*options)
    await operator.start()
    assert await operator.stop(signal.SIGCONT) == 1
    text = operator.text()
    assert message in text
    assert "secret-word" not in text
    assert "Traceback" not in text


async def test_two_servers_on_the_same_data_are_refused(public_folder: Path, unique: Unique) -> None:
    data = public_folder / unique("data")
    async with server.run(data):
        with pytest.raises(ServerFailed, match=r"postmaster\.pid"):
            async with server.run(data):
                pass
    async with server.run(data) as again:
        assert again.port


async def test_a_port_that_somebody_took_is_replaced(public_folder: Path, unique: Unique) -> None:
    data = public_folder / unique("data")
    async with server.run(data) as first:
        port = first.port
    blocker = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with blocker, server.run(data) as second:
        assert second.port != port


async def test_users_are_let_into_their_own_database_only_and_the_administrator_not_at_all_over_tcp(
    bench: Any,
) -> None:
    await bench.administrate("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    await bench.administrate("CREATE DATABASE guest OWNER guest")
    address = {"host": "127.0.0.1", "port": bench.postgres.port}
    try:
        async with await psycopg.AsyncConnection.connect(**address, user="guest", password="guest"):
            pass
        for wrong in (
            {"user": "guest", "password": "guest", "dbname": "postgres"},
            {"user": "guest", "password": "wrong"},
            {"user": "postgres", "dbname": "postgres", "password": "x"},
            {"user": "guest", "dbname": "guest", "host": bench.postgres.conninfo["host"]},
        ):
            with pytest.raises(psycopg.OperationalError):
                await psycopg.AsyncConnection.connect(**address | wrong)
    finally:
        await bench.administrate("DROP DATABASE guest WITH (FORCE)")
        await bench.administrate("DROP ROLE guest")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights up")
async def test_programs_that_the_server_s_user_cannot_reach_are_copied(
    tmp_path: Path, public_folder: Path, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "wheel").symlink_to(bundle.find())
    monkeypatch.setattr(bundle, "find", lambda: closed / "wheel")
    scratch = public_folder / unique("scratch")
    scratch.mkdir()
    folder = await bundle.programs(User.choose(), scratch)
    assert folder == scratch / "programs" / "bin"
    code, output = await User.choose().run([str(folder / "postgres"), "--version"])
    assert (code, output.split()[0]) == (0, "postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights up")
async def test_a_data_folder_that_the_server_s_user_cannot_reach_is_refused_with_the_way_out(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerFailed, match="choose one below /var/tmp"):
        async with server.run(closed / "data"):
            pass
