"""Fields are worked out once per state of CRD and template, beside the event loop. Excluded: which fields."""

import asyncio
from typing import Any, cast

import pytest

from bind_agent.backend import templates
from bind_agent.backend.access import Kind
from bind_agent.backend.crds import CrdReader
from bind_agent.backend.pages import catalogue
from bind_agent.backend.pages.shelf import Shelf, Shown
from bind_agent.kube.errors import ConnectionFailed
from bind_agent.runtime.store import Entry, make_entry
from tests.fakes import pages_preview as preview
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit

KIND = Kind("a.example", "dbs")
SCHEMA = {"properties": {"spec": {"properties": {"plan": {"type": "string"}}}}}
OLDER = {"properties": {"spec": {"properties": {"size": {"type": "string"}}}}}


class Reader:
    """CRDs as `CrdReader` gives them."""

    def __init__(self, crd: Any) -> None:
        self.found: Entry | Exception | None = make_entry(crd)

    async def entry(self, _: Kind) -> Entry | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def crd(generation: int = 1, schema: Any = None) -> Any:
    found = world.crd(
        "dbs", "a.example", "Db",
        world.version("v2", SCHEMA if schema is None else schema),
        world.version("v1", OLDER, storage=False, deprecated=True),
    )  # fmt: skip
    found["metadata"]["generation"] = generation
    return found


def choice(edition: str = "1", **selector: str) -> templates.Choice:
    template = world.template("dbs", "a.example")
    template["metadata"] |= {"uid": "t", "resourceVersion": edition}
    template["spec"]["APIServiceSelector"] |= selector
    return templates.Choice(template)


class Counted:
    """A shelf that counts what it works out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.shelf, self.reader, self.count = Shelf(preview.PAGES, **options), Reader(crd()), 0
        plain = catalogue.versions

        def versions(*arguments: Any) -> Any:
            self.count += 1
            return plain(*arguments)

        monkeypatch.setattr(catalogue, "versions", versions)

    async def look(self, chosen: templates.Choice | None = None, wanted: str = "") -> tuple[Shown, ...]:
        return await self.shelf.versions(cast("CrdReader", self.reader), KIND, chosen or choice(), wanted)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


async def test_it_stays_until_crd_or_template_change(counted: Counted) -> None:
    first = await counted.look()
    assert "plan" in (first[0].fields or "")
    assert await counted.look() is first
    assert counted.count == 1
    counted.reader.found = make_entry(crd(2, OLDER))
    after = await counted.look()
    assert "size" in (after[0].fields or "")
    await counted.look(choice("2", version="v1"))
    assert counted.count == 3
    assert [one.name for one in await counted.look(choice("2", version="v1"))] == ["v1"]
    assert counted.count == 3


async def test_of_several_versions_one_is_looked_at(counted: Counted) -> None:
    newest, older = await counted.look()
    assert newest.fields is not None
    assert (older.fields, older.deprecated != "") == (None, True)
    newest, older = await counted.look(wanted="v1")
    assert newest.fields is None
    assert "size" in (older.fields or "")
    assert counted.count == 2


async def test_made_up_versions_take_no_room(counted: Counted) -> None:
    first = await counted.look()
    for number in range(50):
        assert await counted.look(wanted=f"v{number + 7}") is first
    assert await counted.look(wanted="v2") is first
    assert counted.count == 1


async def test_many_who_come_at_once_wait_for_one(counted: Counted) -> None:
    found = await asyncio.gather(*(counted.look() for _ in range(20)))
    assert all(one is found[0] for one in found)
    assert counted.count == 1


async def test_others_are_answered_meanwhile(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = asyncio.Event()
    loop = asyncio.get_running_loop()
    plain = preview.PAGES.part

    def part(*arguments: Any, **model: Any) -> Any:
        # Ends only when the loop goes on while this is being worked out.
        asyncio.run_coroutine_threadsafe(passed.wait(), loop).result(10)
        return plain(*arguments, **model)

    monkeypatch.setattr(preview.PAGES, "part", part)
    looking = asyncio.create_task(counted.look())
    await asyncio.sleep(0)
    passed.set()
    assert (await looking)[0].fields


async def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Counted(monkeypatch, kept=10)
    assert await small.look() == await small.look()
    assert small.count == 2


async def test_a_crd_that_cannot_be_read_has_no_versions(counted: Counted) -> None:
    counted.reader.found = ConnectionFailed("no answer")
    assert await counted.look() == ()
    counted.reader.found = None
    assert await counted.look() == ()
    counted.reader.found = make_entry(crd())
    assert len(await counted.look()) == 2


async def test_what_is_left_out_at_the_top_is_told(counted: Counted) -> None:
    counted.reader.found = make_entry(crd(5, {"properties": {f"f{n}": {} for n in range(230)}}))
    (first, _) = await counted.look()
    assert "and 30 more that are not shown here" in (first.fields or "")
    counted.reader.found = make_entry(
        crd(6, {"properties": {"spec": {"enum": [f"e{n}" for n in range(50)]}}})
    )
    (first, _) = await counted.look()
    assert '<span class="muted_">and 10 more</span>' in (first.fields or "")
    assert "<code>and" not in (first.fields or "")
    assert "more that are not shown" not in (first.fields or "")
