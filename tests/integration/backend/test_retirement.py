"""Ends of exports and of silent consumers: real timers, across restarts of the backend."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from bind_agent.aio.tasks import background
from bind_agent.api import conditions, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTER_BINDINGS,
    CLUSTERROLES,
    CORE_EVENTS,
    EXPORT_REQUESTS,
    EXPORTS,
    NAMESPACES,
    SECRETS,
    Resource,
)
from bind_agent.backend import names, retirement
from bind_agent.backend.access import Kind
from bind_agent.backend.person import Person
from bind_agent.backend.retiring import Retirements, RetiringError
from bind_agent.backend.tenancy import kubeconfig
from bind_agent.backend.tenancy.credentials import Credentials
from bind_agent.backend.tenancy.reaper import Limits
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.errors import DevClusterError
from bind_agent.devcluster.stage import Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.obs import metrics
from tests.fakes.backend_lab import Lab, Party, eventually, lab, works
from tests.integration.backend.conftest import QUICK

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
MODULE = ("-m", "bind_agent.backend.app")


def kind_of(resource: Resource) -> Kind:
    return Kind(resource.group, resource.plural)


def soon(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)


async def events(backend: Lab, namespace: str, reason: str) -> list[Object]:
    found = (await backend.admin.list(CORE_EVENTS, namespace=namespace)).items
    return [one for one in found if one["reason"] == reason]


class TestRetirement:
    @pytest.fixture
    async def party(self, backend: Lab, kind: Resource, unique: Callable[[str], str]) -> Party:
        """A tenant with one export."""
        found = await backend.join(unique("retiring"))
        await backend.publish(kind)
        await backend.bind(found, kind)
        return found

    async def test_announced_and_ended_by_a_timer(self, backend: Lab, kind: Resource, party: Party) -> None:
        retirements = Retirements(backend.own)
        await retirements.retire(party.namespace, kind_of(kind), at=soon(hours=30), note="use caches instead")

        async def announced() -> Object:
            export = await backend.export(party, kind)
            found = conditions.get(conditions.of(export or {}), "Retiring")
            assert found is not None
            assert (found.status, found.reason) == ("True", "RetirementAnnounced")
            assert "use caches instead" in found.message
            return export or {}

        export = await eventually(announced)
        assert conditions.is_true(conditions.of(export), "Ready")
        await eventually(lambda: events(backend, party.namespace, "RetirementAnnounced"))
        # Whoever asks for it now is told; what stands goes on.
        await backend.admin.delete(EXPORT_REQUESTS, kind.crd_name, namespace=party.namespace)
        await backend.request(party, kind)
        await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "Retiring")

        await retirements.retire(party.namespace, kind_of(kind), at=soon(seconds=3))
        await backend.gone(EXPORTS, kind.crd_name, party.namespace)

        async def without_rights() -> bool:
            role = await backend.admin.get(CLUSTERROLES, keys.dynamic_role(party.namespace))
            return not role.get("rules")

        await eventually(without_rights)
        # It does not come back by being asked for again, by whatever request was waiting.
        await backend.admin.delete(EXPORT_REQUESTS, kind.crd_name, namespace=party.namespace)
        await backend.request(party, kind)
        found = await backend.condition(party, EXPORT_REQUESTS, kind.crd_name, "ExportsReady", "Retired")
        assert "export restore" in found.message
        assert await backend.export(party, kind) is None
        (offer,) = await retirements.list([party.namespace])
        assert (offer.export, bool(offer.retired)) == (None, True)
        # Until it is restored.
        assert not await retirements.restore(party.namespace, kind_of(kind))
        await backend.phase(party, kind, "Succeeded")

    async def test_restored_in_time(self, backend: Lab, kind: Resource, party: Party) -> None:
        retirements = Retirements(backend.own)
        await retirements.retire(party.namespace, kind_of(kind), at=soon(hours=1))

        async def retiring() -> bool:
            return conditions.is_true(conditions.of(await backend.export(party, kind) or {}), "Retiring")

        await eventually(retiring)
        assert await retirements.restore(party.namespace, kind_of(kind))

        async def taken_back() -> bool:
            export = await backend.export(party, kind) or {}
            return conditions.get(conditions.of(export), "Retiring") is None

        await eventually(taken_back)
        with pytest.raises(RetiringError, match="neither"):
            await retirements.restore(party.namespace, kind_of(kind))
        with pytest.raises(RetiringError, match="no export"):
            await retirements.retire(party.namespace, Kind("nothing.example", "things"), at=soon(hours=1))

    async def test_one_tenants_end_is_not_anothers(
        self, backend: Lab, kind: Resource, party: Party, unique: Callable[[str], str]
    ) -> None:
        other = await backend.join(unique("staying"))
        await backend.bind(other, kind)
        await Retirements(backend.own).retire(party.namespace, kind_of(kind), at=soon(seconds=-1))
        await backend.gone(EXPORTS, kind.crd_name, party.namespace)
        export = await backend.export(other, kind)
        assert export is not None
        assert conditions.get(conditions.of(export), "Retiring") is None

    async def test_a_tenant_can_neither_announce_nor_restore(
        self, backend: Lab, kind: Resource, party: Party
    ) -> None:
        """Its status is all that it may write of an export, and a condition there moves no date."""
        await Retirements(backend.own).retire(party.namespace, kind_of(kind), at=soon(seconds=4))
        await party.client.merge_patch(
            EXPORTS,
            kind.crd_name,
            {
                "metadata": {"annotations": {names.RETIRE_AT: None}},
                "status": {"conditions": []},
            },
            namespace=party.namespace,
            subresource="status",
        )
        await backend.gone(EXPORTS, kind.crd_name, party.namespace)

    async def test_a_persons_way_through_the_commands(
        self, backend: Lab, kind: Resource, party: Party
    ) -> None:
        flag = f"--kubeconfig={backend.cluster.kubeconfig}"

        async def export(*arguments: str) -> str:
            return await backend.stage.run(*MODULE, "export", *arguments, flag)

        said = await export(
            "retire", kind.crd_name, f"--tenant={party.namespace}", "--grace=720h", "--note=bye"
        )
        assert f"{party.namespace}: {kind.crd_name} ends at" in said
        rows = json.loads(await export("list", f"--tenant={party.namespace}", "--output=json"))
        ((row),) = rows
        assert (row["export"], row["note"], row["retired"]) == (kind.crd_name, "bye", False)
        assert row["template"] == f"default/{kind.crd_name}"
        table = await export("list", f"--tenant={party.namespace}")
        assert table.splitlines()[0].split() == [
            "NAMESPACE",
            "EXPORT",
            "READY",
            "TEMPLATE",
            "RETIRES",
            "NOTE",
            "MESSAGE",
        ]
        assert "goes on" in await export("restore", kind.crd_name, "--all")
        with pytest.raises(DevClusterError, match="no tenant is concerned"):
            await export("restore", kind.crd_name, "--all")
        assert party.namespace in await export("retire", kind.crd_name, "--all", "--grace=1s")
        await backend.gone(EXPORTS, kind.crd_name, party.namespace)
        (_, ended) = (await export("list", f"--tenant={party.namespace}")).splitlines()
        assert ended.split()[:3] == [party.namespace, kind.crd_name, "retired"]
        assert "may be requested again" in await export("restore", kind.crd_name, "--all")
        for wrong, words in (
            (("retire", kind.crd_name), "--all"),
            (("retire", kind.crd_name, "--all", f"--tenant={party.namespace}"), "--all"),
            (("retire", "nonsense", "--all"), "plural.group"),
            (("retire", kind.crd_name, "--all", "--note=" + "x" * 300), "characters"),
        ):
            with pytest.raises(DevClusterError, match=words):
                await export(*wrong)


QUIETLY = Limits(timedelta(seconds=6), timedelta(seconds=12), notice=timedelta(seconds=2))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def provider(clusters: Playground) -> AsyncIterator[Cluster]:
    """A provider whose backend is stopped and started again."""
    yield await clusters.add(ClusterOptions("restarts"))
    await clusters.remove("restarts")


Start = Callable[[Limits], AbstractAsyncContextManager[Lab]]


@pytest.fixture(scope="module")
def start(clusters: Playground, provider: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start a backend there, with other limits for silence."""
    stage = Stage(clusters, tmp_path_factory.mktemp("restarts"))

    @asynccontextmanager
    async def started(limits: Limits) -> AsyncIterator[Lab]:
        async with lab(provider, stage, replace(QUICK, reaper=limits)) as running:
            yield running

    return started


async def beat(backend: Lab, party: Party, when: datetime | None = None) -> None:
    status = {
        "lastHeartbeatTime": conditions.timestamp(when or datetime.now(UTC)),
        "heartbeatInterval": "1s",
        "konnectorVersion": "v1.5.0",
    }
    await backend.admin.merge_patch(
        CLUSTER_BINDINGS, "cluster", {"status": status}, namespace=party.namespace, subresource="status"
    )


async def revoked_by(backend: Lab, party: Party) -> str:
    marks = (await backend.binding(party))["metadata"]["annotations"]
    return str(marks.get(names.REVOKED_BY, "")) if names.REVOKED in marks else ""


async def credential(backend: Lab, party: Party) -> Object | None:
    return await backend.admin.get_or_none(SECRETS, keys.KUBECONFIG, namespace=party.namespace)


class TestAcrossRestarts:
    @pytest.fixture(autouse=True)
    async def nobody_left(self, provider: Cluster) -> AsyncIterator[None]:
        """Tenants of a test before would be silent in the next one, and most of all."""
        yield
        async with Client.open(from_kubeconfig(provider.kubeconfig), user_agent="admin-in-tests") as admin:
            for one in (await admin.list(NAMESPACES)).items:
                if meta.annotation(one, keys.IDENTITY):
                    await admin.delete(NAMESPACES, meta.name(one))

    async def test_most_consumers_at_once_are_not_believed_to_be_gone(
        self, start: Start, unique: Callable[[str], str]
    ) -> None:
        limit = timedelta(seconds=4)
        async with start(Limits()) as backend:
            parties = [await backend.join(unique("gone")) for _ in range(4)]
        # Silent for long enough all of them, whoever came first.
        await asyncio.sleep(limit.total_seconds())
        async with start(Limits(limit, notice=timedelta(seconds=1))) as backend:
            held = metrics.REAPER_HELD("most")._value.get()

            async def not_believed() -> bool:
                return bool(metrics.REAPER_HELD("most")._value.get() > held)

            await eventually(not_believed)
            # Those who are alive after all; the one that is left is believed.
            *back, silent = parties
            async with asyncio.TaskGroup() as group:
                beating = [group.create_task(_beating(backend, party)) for party in back]

                async def revoked() -> bool:
                    return await revoked_by(backend, silent) == names.BY_REAPER

                await eventually(revoked)
                assert [await revoked_by(backend, party) for party in back] == ["", "", ""]
                for one in beating:
                    one.cancel()

    async def test_an_end_that_came_while_nobody_worked(
        self, start: Start, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        async with start(Limits()) as backend:
            gone, kept = await backend.join(unique("gone")), await backend.join(unique("kept"))
            await backend.publish(kind)
            for party, at in ((gone, soon(hours=1)), (kept, soon(hours=2))):
                await backend.bind(party, kind)
                await Retirements(backend.own).retire(party.namespace, kind_of(kind), at=at)
        async with start(Limits()) as backend:
            # What a clock does in an hour, the announcement of another hour does as well.
            past = {
                "metadata": {"annotations": retirement.marks(retirement.Planned(soon(seconds=-HOUR.seconds)))}
            }
            await backend.admin.merge_patch(EXPORTS, kind.crd_name, past, namespace=gone.namespace)
            await backend.gone(EXPORTS, kind.crd_name, gone.namespace)
            export = await backend.export(kept, kind)
            assert conditions.is_true(conditions.of(export or {}), "Retiring")

    async def test_a_backend_that_was_away_gives_everybody_time_to_report(
        self, start: Start, unique: Callable[[str], str]
    ) -> None:
        limit = timedelta(seconds=6)
        async with start(Limits(limit, notice=HOUR)) as backend:
            alive, silent = await backend.join(unique("alive")), await backend.join(unique("silent"))
            for party in (alive, silent):
                await backend.condition(
                    party, CLUSTER_BINDINGS, "cluster", names.CONSUMER_SEEN, "RevocationAnnounced"
                )
            overdue = datetime.now(UTC) + limit
        await asyncio.sleep(max((overdue - datetime.now(UTC)).total_seconds(), 0))
        async with start(Limits(limit, notice=timedelta(seconds=3))) as backend:
            began = datetime.now(UTC)
            async with background(_beating(backend, alive)):

                async def revoked() -> bool:
                    return await revoked_by(backend, silent) == names.BY_REAPER

                await eventually(revoked)
                # All that was announced is overdue; the time after the start is what was waited for.
                marks = (await backend.binding(silent))["metadata"]["annotations"]
                assert datetime.fromisoformat(marks[names.REVOKED]) >= began + timedelta(seconds=1)
                binding = await backend.binding(alive)
                assert conditions.get(conditions.of(binding), names.CONSUMER_SEEN) is None
                assert await credential(backend, alive)

    async def test_what_a_leader_issued_after_a_revocation_ends_with_the_next_leader(
        self, start: Start, unique: Callable[[str], str]
    ) -> None:
        """It died after issuing, before it looked whether somebody had revoked meanwhile."""
        async with start(Limits()) as backend:
            name = unique("revoked")
            party, other = await backend.join(name), await backend.join(unique("staying"))
            await backend.tenants.revoke(await backend.tenants.find(party.namespace), delete=False)
            await backend.condition(
                party, CLUSTER_BINDINGS, "cluster", names.CREDENTIAL_ISSUED, "CredentialRevoked"
            )
            kept = await Credentials(backend.own, endpoint=backend.endpoint).keep(
                party.namespace, keys.KUBECONFIG
            )
            assert kept.state.issued is not None
            left = kubeconfig.render(kept.state.issued)
            assert await works(left, party.namespace)
            assert await credential(backend, party)
        async with start(Limits()) as backend:

            async def ended() -> bool:
                return not await works(left, party.namespace)

            await eventually(ended, timeout=40)
            await backend.gone(SECRETS, keys.KUBECONFIG, party.namespace)
            assert await works(other.added.kubeconfig, other.namespace)
            # What is issued when it is let in again stays.
            again = await backend.join(name)
            assert again.namespace == party.namespace
            assert await works(again.added.kubeconfig, again.namespace)

    async def test_silence_ends_a_consumer_step_by_step(
        self, start: Start, kind: Resource, unique: Callable[[str], str]
    ) -> None:
        async with start(QUIETLY) as backend:
            silent, lively = await backend.join(unique("silent")), await backend.join(unique("lively"))
            await backend.publish(kind)
            await backend.bind(silent, kind)
            namespace = await backend.mapping(silent, "team")
            async with background(_beating(backend, lively)):
                await backend.condition(
                    silent, CLUSTER_BINDINGS, "cluster", names.CONSUMER_SEEN, "RevocationAnnounced"
                )
                assert await credential(backend, silent)

                async def revoked() -> bool:
                    return await revoked_by(backend, silent) == names.BY_REAPER

                await eventually(revoked)
                await backend.gone(SECRETS, keys.KUBECONFIG, silent.namespace)
                await eventually(lambda: events(backend, silent.namespace, "ConsumerRevoked"))
                assert await backend.export(silent, kind)
                assert await backend.namespace(namespace)
                await backend.gone(NAMESPACES, silent.namespace)
                await backend.gone(NAMESPACES, namespace)
                assert await revoked_by(backend, lively) == ""
                assert await credential(backend, lively)

    async def test_who_comes_back_in_between_stays(self, start: Start, unique: Callable[[str], str]) -> None:
        person = Person("https://login.example.org", unique("sub"))
        async with start(Limits(timedelta(seconds=3), timedelta(days=1), timedelta(seconds=1))) as backend:
            party = await backend.join("", person=person)

            async def revoked() -> bool:
                return await revoked_by(backend, party) == names.BY_REAPER

            await eventually(revoked)
            again = await backend.join("", person=person)
            assert again.namespace == party.namespace
            assert await credential(backend, again)

    async def test_what_would_be_done_is_shown_without_doing_it(
        self, start: Start, unique: Callable[[str], str]
    ) -> None:
        async with start(Limits()) as backend:
            party = await backend.join(unique("shown"))
            flag = f"--kubeconfig={backend.cluster.kubeconfig}"

            async def silence(*flags: str) -> str:
                listed = await backend.stage.run(*MODULE, "tenant", "list", "--output=json", flag, *flags)
                (row,) = [one for one in json.loads(listed) if one["namespace"] == party.namespace]
                return str(row["silence"])

            assert await silence() == ""
            assert (await silence("--revoke-unseen-after=720h")).startswith("revoke ")
            assert await revoked_by(backend, party) == ""
            assert await credential(backend, party)
            with pytest.raises(DevClusterError, match="revoke-unseen-after"):
                await silence("--delete-unseen-after=720h")
            with pytest.raises(DevClusterError, match="revoke-unseen-after"):
                await silence("--delete-unseen-after=720h", "--revoke-unseen-after=720h")


async def _beating(backend: Lab, party: Party) -> None:
    while True:
        await beat(backend, party)
        await asyncio.sleep(0.5)
