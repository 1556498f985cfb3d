"""Servers that stand beside the backend in its benchmark, each a process of its own.

python tests/bench/servers.py issuer PORT PEOPLE    the development issuer, with so many people more
python tests/bench/servers.py bare PORT FILE        aiohttp and nothing else, answering with one file
"""

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from bind_agent.devcluster.issuer import __main__ as development
from bind_agent.devcluster.issuer.people import ACCOUNTS, Account

if not __package__:  # started as a file: the helpers of the tests are found from the top of the checkout
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench.crowd import subject


def issuer(port: int, people: int) -> None:
    """Serve until ended."""
    for number in range(people):
        name = subject(number)
        ACCOUNTS[name] = Account(name, f"Person {number}", ("developers", "database-users"), "in a benchmark")
    asyncio.run(development.serve(port))


def bare(port: int, page: Path) -> None:
    """Serve until ended."""
    body = page.read_bytes()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html", charset="utf-8")

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    if sys.argv[1] == "issuer":
        issuer(int(sys.argv[2]), int(sys.argv[3]))
    else:
        bare(int(sys.argv[2]), Path(sys.argv[3]))
