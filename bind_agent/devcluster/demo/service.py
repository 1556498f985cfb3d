"""One object brought to what it asks for, or taken away without a trace.

Level-based: each call looks at the Secret, the ConfigMap and the server, plans, and does what is missing. It
makes no difference whether the object is new, changed, or was seen by an operator that stopped in the middle.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CONFIGMAPS, SECRETS, Resource
from bind_agent.devcluster.demo import objects, passwords, plan, status
from bind_agent.devcluster.demo.databases import Databases, ServerError
from bind_agent.devcluster.demo.model import Instance, InvalidSpec, read_instance
from bind_agent.devcluster.demo.objects import Access, Address
from bind_agent.devcluster.demo.passwords import Choice, Origin
from bind_agent.devcluster.demo.status import CREDENTIALS_READY, DATABASE_READY, Condition
from bind_agent.kube.errors import KubeError

_RETRY: Final = 5.0
_RETRY_CONFLICT: Final = 10.0


class Objects(Protocol):
    """The part of `bind_agent.kube.client.Client` that is needed."""

    async def get_or_none(
        self, resource: Resource, name: str, *, namespace: str | None = None
    ) -> Object | None:
        """Read an object, None when there is none."""

    async def create(self, resource: Resource, obj: Object, *, namespace: str | None = None) -> Object:
        """Create an object."""

    async def merge_patch(
        self, resource: Resource, name: str, patch: Object, *, namespace: str | None = None
    ) -> Object:
        """Change an object."""

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, uid: str | None = None
    ) -> Object | None:
        """Delete an object with this UID."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell about an object."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call.

    Attributes:
        status: merge patch of the object's status, empty when it is right.
        event: something new to tell.
        retry: seconds after which to try again, None when all is well.
        message: why a retry is needed.
    """

    status: Object
    event: Event | None = None
    retry: float | None = None
    message: str = ""


class _Refused(Exception):  # noqa: N818 - named by meaning
    def __init__(self, finding: Condition, retry: float) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.retry = retry


class Service:
    """The databases of all objects on one server.

    Args:
        databases: the server, for its administrator.
        address: the server, for users.
        cluster: where Secrets and ConfigMaps are written.
        now: the time in UTC.
    """

    def __init__(
        self,
        databases: Databases,
        address: Address,
        cluster: Objects,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._databases = databases
        self._address = address
        self._cluster = cluster
        self._now = now

    async def ensure(self, obj: Mapping[str, Any]) -> Outcome:
        """Give an object its database, role, Secret and ConfigMap, or report what is in the way."""
        before = _status(obj)
        try:
            return await self._ensure(read_instance(obj))
        except (InvalidSpec, plan.Conflict, ServerError, KubeError, _Refused) as error:
            finding, retry = _diagnose(error)
            return self._failed(obj, before, finding, retry)

    async def remove(self, obj: Mapping[str, Any]) -> Outcome:
        """Take the credentials away, and drop what the object has on the server.

        The garbage collector would take Secret and ConfigMap too, but later: they would give access to
        nothing for a while. What is not the object's own stays.

        An object whose spec is invalid is removed like any other: only its name and UID matter.
        """
        instance = read_instance({"metadata": obj.get("metadata", {}), "status": obj.get("status", {})})
        try:
            await self._withdraw(instance, SECRETS, instance.secret)
            await self._withdraw(instance, CONFIGMAPS, instance.config_map)
            async with self._databases.session() as session:
                seen = await session.observe(instance.database)
                await session.execute(plan.remove(instance, seen))
        except (ServerError, KubeError) as error:
            finding = Condition(DATABASE_READY, status=False, reason="DeletionBlocked", message=str(error))
            return self._failed(obj, _status(obj), finding, _RETRY, phase="Deleting")
        return Outcome(status={})

    async def _ensure(self, instance: Instance) -> Outcome:
        # Looked at first, so that a name that is taken leaves no database behind.
        secret = await self._owned(instance, SECRETS, instance.secret)
        config_map = await self._owned(instance, CONFIGMAPS, instance.config_map)
        async with self._databases.session() as session:
            seen = await session.observe(instance.database)
            plan.check_ownership(instance, seen)
            choice = passwords.choose(
                None if secret is None else objects.read_password(secret),
                seen.role,
                announced=_was_ready(instance.status),
            )
            steps = plan.ensure(instance, seen, choice.verifier)
            await session.execute(steps)
            if steps:
                seen = await session.observe(instance.database)
            version = session.server_version
        access = Access(self._address, instance.database, choice.password)
        await self._write(SECRETS, secret, objects.secret(instance, access))
        await self._write(CONFIGMAPS, config_map, objects.config_map(instance, self._address))
        wanted = status.ready(
            instance,
            seen,
            address=self._address,
            version=version,
            credentials=_credentials(instance, choice),
            now=self._now(),
        )
        return Outcome(status.changes(instance.status, wanted), _event(instance, choice, steps))

    async def _owned(self, instance: Instance, resource: Resource, name: str) -> Object | None:
        """Read an object that may only be written when it is the instance's.

        Raises:
            _Refused: an object of the name exists and is not the instance's.
        """
        found = await self._cluster.get_or_none(resource, name, namespace=instance.namespace)
        if found is not None and not meta.is_owned_by(found, instance.uid):
            message = (
                f"a {resource.kind} {name!r} exists in this namespace and is not this object's; "
                "delete it, or give this object another name"
            )
            finding = Condition(
                CREDENTIALS_READY, status=False, reason=f"{resource.kind}Conflict", message=message
            )
            # Also the one of a deleted object of the same name, until the garbage collector has taken it.
            raise _Refused(finding, retry=2.0)
        return found

    async def _withdraw(self, instance: Instance, resource: Resource, name: str) -> None:
        found = await self._cluster.get_or_none(resource, name, namespace=instance.namespace)
        if found is not None and meta.is_owned_by(found, instance.uid):
            await self._cluster.delete(resource, name, namespace=instance.namespace, uid=meta.uid(found))

    async def _write(self, resource: Resource, present: Object | None, wanted: Object) -> None:
        name, namespace = meta.name(wanted), meta.namespace(wanted)
        if present is None:
            await self._cluster.create(resource, wanted, namespace=namespace)
        elif patch := objects.difference(present, wanted):
            await self._cluster.merge_patch(resource, name, patch, namespace=namespace)

    def _failed(
        self,
        obj: Mapping[str, Any],
        before: Mapping[str, Any],
        finding: Condition,
        retry: float,
        *,
        phase: status.Phase = "Failed",
    ) -> Outcome:
        if finding.reason in _PASSING and not _was_ready(before):
            phase = "Pending"
        wanted = status.failed(
            before, generation=meta.generation(obj), finding=finding, phase=phase, now=self._now()
        )
        patch = status.changes(before, wanted)
        event = Event(finding.reason, finding.message, warning=True) if patch else None
        return Outcome(patch, event, retry, finding.message)


#: Reasons that pass by themselves; a new object waits for them rather than having failed.
_PASSING: Final = frozenset({"ServerUnreachable", "ClusterError"})


def _diagnose(error: Exception) -> tuple[Condition, float]:
    """What a failure means for the object, and seconds until the next try."""
    if isinstance(error, _Refused):
        return error.finding, error.retry
    about, reason, retry, message = DATABASE_READY, "InvalidSpec", _RETRY_CONFLICT, str(error)
    if isinstance(error, plan.Conflict):
        reason = error.reason
    elif isinstance(error, ServerError):
        reason, retry = error.reason, error.retry
    elif isinstance(error, KubeError):
        about, reason, retry = CREDENTIALS_READY, "ClusterError", _RETRY
        message = f"cannot read or write the Secret or ConfigMap: {error}"
    return Condition(about, status=False, reason=reason, message=message), retry


def _was_ready(reported: Mapping[str, Any]) -> bool:
    """Whether the object had its database and Secret at some time: only `status.ready` writes this field."""
    return bool(reported.get("secretName"))


def _status(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    value = obj.get("status")
    return value if isinstance(value, Mapping) else {}


def _credentials(instance: Instance, choice: Choice) -> Condition:
    present = status.condition(instance.status, CREDENTIALS_READY)
    if choice.origin is Origin.KEPT and present.get("status") == "True":
        # Says how the Secret came to be; an unchanged one keeps what was said.
        return Condition(
            CREDENTIALS_READY,
            status=True,
            reason=str(present.get("reason", "")),
            message=str(present.get("message", "")),
        )
    if choice.origin is Origin.ROTATED:
        message = "the Secret was missing or did not match the server, so a new password was set"
        return Condition(CREDENTIALS_READY, status=True, reason=choice.origin.value, message=message)
    return Condition(CREDENTIALS_READY, status=True, reason=Origin.CREATED.value)


def _event(instance: Instance, choice: Choice, steps: tuple[plan.Step, ...]) -> Event | None:
    if choice.origin is Origin.ROTATED:
        return Event("PasswordRotated", f"a new password is in the Secret {instance.secret}", warning=True)
    if not steps:
        return None
    if not _was_ready(instance.status):
        return Event("Provisioned", f"database {instance.database} is ready")
    return Event("Changed", ", ".join(step.what for step in steps))
