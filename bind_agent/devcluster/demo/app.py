"""The operator as a whole: cluster, server and handlers put together, for as long as it is to run."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import kopf
import psycopg
from psycopg.conninfo import conninfo_to_dict

from bind_agent.devcluster.demo import connection, handlers, names, server
from bind_agent.devcluster.demo.databases import Databases
from bind_agent.devcluster.demo.objects import Address
from bind_agent.devcluster.demo.service import Service
from bind_agent.devcluster.ports import LOOPBACK
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.config import load

logger = logging.getLogger(__name__)


class InvalidOption(Exception):  # noqa: N818 - named by meaning
    """An option cannot be used; the text says which, why, and never what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says.

    Attributes:
        kubeconfig: path, None for the usual places.
        dsn: administrator's connection string of a server of one's own, empty for the bundled server.
        advertise: ``HOST`` or ``HOST:PORT`` where users find that server, empty for what the string says.
        sslmode: what users of that server are told to use, empty for what the string says.
        data_dir: where the bundled server keeps its data, None for a temporary folder.
        resync: seconds between two looks at an object that nobody changed.
    """

    kubeconfig: str | None = None
    dsn: str = field(default="", repr=False)
    advertise: str = ""
    sslmode: str = ""
    data_dir: Path | None = None
    resync: float = 60.0


def read_dsn(options: Options) -> tuple[Mapping[str, Any], Address]:
    """Parse the connection string, and tell where users find the same server.

    Raises:
        InvalidOption: it cannot be parsed, or users could not reach what it names.
    """
    try:
        parameters = conninfo_to_dict(options.dsn)
    except psycopg.ProgrammingError:  # its text quotes the string, which may hold a password
        raise InvalidOption("--dsn is not a connection string or URI that libpq understands") from None
    host, port = str(parameters.get("host") or ""), str(parameters.get("port") or "5432")
    if options.advertise:
        host, port = _split(options.advertise, port)
    if not host or host.startswith(("/", "@")) or "," in host:
        raise InvalidOption("--advertise is needed: --dsn names no single host that users could reach")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidOption("--advertise or --dsn: the port must be a number from 1 to 65535")
    return parameters, Address(host, int(port), options.sslmode or str(parameters.get("sslmode") or "prefer"))


async def run(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT; everything that it started has ended then.

    Raises:
        InvalidOption: the connection string cannot be used.
        ServerFailed: the bundled server cannot be started, or ended.
        ServerError: the named server cannot be reached.
        KubeError: the cluster cannot be reached, or its configuration cannot be used.
    """
    work = asyncio.create_task(_operate(options), name="work")
    # Until kopf takes the signals over, there is only a start to break off.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()


async def _operate(options: Options) -> None:
    read_config = partial(load, options.kubeconfig)
    async with (
        Client.open(read_config(), user_agent=user_agent(names.OPERATOR)) as client,
        _open_server(options) as (conninfo, address, bundled),
    ):
        databases = Databases(conninfo)
        async with databases.session() as session:
            version = session.server_version
        logger.info("PostgreSQL %s for users at %s:%d", version, address.host, address.port)
        await connection.wait_for_api(
            client, waiting=lambda: logger.info("waiting for the API %s.%s", names.PLURAL, names.GROUP)
        )
        logger.info("serving %s.%s", names.PLURAL, names.GROUP)
        registry = handlers.registry(
            Service(databases, address, client),
            connection.login(client, read_config),
            resync=options.resync,
        )
        operator = kopf.operator(registry=registry, settings=handlers.settings(), clusterwide=True)
        await _until_one_ends(operator, *(() if bundled is None else (bundled.wait(),)))


async def _until_one_ends(*works: Any) -> None:
    """Run all until the first one ends, for whatever reason, and pass its failure on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@asynccontextmanager
async def _open_server(
    options: Options,
) -> AsyncIterator[tuple[Mapping[str, Any], Address, server.BundledServer | None]]:
    if options.dsn:
        yield (*read_dsn(options), None)
        return
    async with server.run(options.data_dir) as bundled:
        yield bundled.conninfo, Address(LOOPBACK, bundled.port, "disable"), bundled


def _split(advertise: str, port: str) -> tuple[str, str]:
    """``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT`` into host and port."""
    head, colon, tail = advertise.rpartition(":")
    if colon and not tail.endswith("]"):
        return head.strip("[]"), tail
    return advertise.strip("[]"), port
