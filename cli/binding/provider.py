"""The provider's side of binding: hand in the request, wait for the answer, see what is offered."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bind_agent.aio.backoff import Backoff
from bind_agent.aio.backoff import Policy as Pauses
from bind_agent.api import keys
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import Object, is_deleting, name, uid
from bind_agent.api.resource import CLUSTER_BINDINGS, EXPORT_REQUESTS, EXPORTS
from cli.binding import answers
from cli.binding.offering import Offer, ended, of_export, without_export
from cli.binding.request import ExportRequest, Wanted
from cli.cluster import Cluster
from cli.errors import CliError, RequestRefusedError, UnreachableError, WaitTimeoutError
from cli.output import Progress, inert

_POLL: Final = 1.0
_SETTLE: Final = 30.0
"""Seconds in which a refusal for lack of rights may pass: a fresh tenant's roles follow its kubeconfig."""

_TAKEN: Final = Pauses(first=0.1, cap=5.0)
"""Pauses after a 409: mostly one look more settles it, a webhook or proxy that goes on saying it is left in peace."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request that stands on the provider.

    Attributes:
        obj: as the server returned it.
        created: whether this run created it, and so may remove it again.
    """

    obj: Object
    created: bool


class ProviderSide:
    """What the CLI does in one namespace of the provider.

    Args:
        cluster: the provider.
        namespace: the tenant's namespace (cluster namespace, spec section 0).
        progress: told what is waited for.
        sleep: replaced in tests.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        progress: Progress,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._progress = progress
        self._sleep = sleep

    def submit(self, request: ExportRequest, *, timeout: float) -> Submitted:
        """Create the request, or take up the same one of an earlier run.

        A name that is taken by something else gets a generated suffix (spec 7.3.3). A refusal right after the
        tenant was set up is tried again for a while: roles arrive after kubeconfigs (W-C7).

        Args:
            request: what is asked for.
            timeout: seconds after which a name that others take again and again is given up.

        Raises:
            RequestRefusedError: the provider does not take it.
        """
        started = time.monotonic()
        pauses = Backoff(_TAKEN)
        while True:
            try:
                return self._submit(request)
            except RequestRefusedError as error:
                waited = time.monotonic() - started
                if error.status == 409 and waited < timeout:
                    # Created by somebody else between our look and our write: look again.
                    self._progress.detail(f"looking at the provider's requests again: {error.message}")
                    self._sleep(pauses.next())
                    continue
                if error.status == 403 and waited < min(_SETTLE, timeout):
                    self._progress.waiting(
                        "waiting for the rights in the provider's namespace to arrive", since=started
                    )
                    self._sleep(_POLL)
                    continue
                if error.status == 404:
                    raise _not_a_provider(self.namespace) from None
                raise

    def _submit(self, request: ExportRequest) -> Submitted:
        stands, obj = self._look(request)
        if not stands:
            return self._create(obj)
        self._progress.step(f"request {inert(request.name)} stands already; taking it up")
        return Submitted(obj, created=False)

    def _look(self, request: ExportRequest) -> tuple[bool, Object]:
        """Whether the request stands already; then it, else what is to be created."""
        if not request.name:
            return False, request.manifest(generate_name="export-")
        existing = self.cluster.get(EXPORT_REQUESTS, request.name, namespace=self.namespace)
        if existing is None:
            return False, request.manifest(name=request.name)
        if (
            answers.same_request(existing, request)
            and answers.phase(existing) != answers.FAILED
            and not is_deleting(existing)
        ):
            gone = self._ended(request) if answers.phase(existing) == answers.SUCCEEDED else ""
            if not gone:
                return True, existing
            self._progress.step(
                f"request {inert(request.name)} was granted, but the provider has ended {inert(gone)} since;"
                " asking anew"
            )
        return False, request.manifest(generate_name=f"{request.name[:200]}-")

    def _ended(self, request: ExportRequest) -> str:
        """An API of a granted request that has no export any more; empty where all have one, or none may be read.

        An export stands before the request succeeds, so one that is missing afterwards has been ended.
        """
        try:
            for one in request.wanted:
                export = self.cluster.get(EXPORTS, one.name, namespace=self.namespace)
                if export is None or is_deleting(export):
                    return one.name
        except RequestRefusedError as error:
            if error.status != 403:
                raise
        return ""

    def preview(self, request: ExportRequest) -> tuple[bool, Object]:
        """What `submit` would do, without doing it.

        Returns:
            Whether the request stands already, and the request. Where requests may not be read it is taken for new.
        """
        try:
            stands, obj = self._look(request)
        except RequestRefusedError as error:
            self._progress.detail(f"requests cannot be read: {error.message}")
            stands, obj = False, request.manifest(name=request.name, generate_name="export-")
        return stands, {**obj, "metadata": {**obj["metadata"], "namespace": self.namespace}}

    def _create(self, obj: Object) -> Submitted:
        created = self.cluster.create(EXPORT_REQUESTS, obj, namespace=self.namespace)
        self._progress.step(f"request {inert(name(created))} handed in at the provider")
        return Submitted(created, created=True)

    def wait(self, submitted: Submitted, *, timeout: float) -> Object:
        """Wait until the provider has decided.

        Returns:
            The request as the provider left it.

        Raises:
            CliError: it failed, with the provider's words; or it was deleted meanwhile.
            WaitTimeoutError: nothing was decided in time.
        """
        started = time.monotonic()
        request_name = name(submitted.obj)
        state = "waiting for the provider to prepare the API"
        while True:
            try:
                current = self.cluster.get(EXPORT_REQUESTS, request_name, namespace=self.namespace)
            except UnreachableError as error:
                # The provider may be restarting; only time decides.
                current, state = submitted.obj, f"waiting for the provider: {error.message}"
            else:
                state = answers.state(current) or "waiting for the provider to prepare the API"
            if current is None or uid(current) != uid(submitted.obj):
                raise CliError(
                    f"the request {inert(request_name)} was deleted on the provider before it was answered",
                    next_step="run the command again, or ask the provider why",
                )
            if answers.phase(current) == answers.SUCCEEDED:
                return current
            if answers.phase(current) == answers.FAILED:
                raise answers.failed(current)
            if time.monotonic() - started > timeout:
                raise WaitTimeoutError(
                    f"the provider did not answer the request {inert(request_name)} within {timeout:.0f}s"
                    f" ({state})",
                    next_step="run the command again, with a longer --timeout, or ask the provider",
                )
            self._progress.waiting(state, since=started)
            self._sleep(_POLL)

    def withdraw(self, submitted: Submitted) -> str:
        """Remove a request that this run created.

        Returns:
            What stays behind, in words; empty when nothing does.
        """
        if not submitted.created:
            return ""
        try:
            self.cluster.delete(
                EXPORT_REQUESTS, name(submitted.obj), namespace=self.namespace, uid=uid(submitted.obj)
            )
        except CliError:
            return f"the request {self.namespace}/{inert(name(submitted.obj))} on the provider"
        return ""

    def step_back(self, submitted: Submitted, unbound: Sequence[Wanted]) -> tuple[str, ...]:
        """Withdraw a request of this run, because the run ends early.

        A tenant may not delete exports, so one that was made already stays.

        Args:
            submitted: the request.
            unbound: the APIs in it that nothing binds.

        Returns:
            What stays behind on the provider, in words.
        """
        left = [said] if (said := self.withdraw(submitted)) else []
        for one in unbound if submitted.created else ():
            with contextlib.suppress(CliError):
                if self.cluster.get(EXPORTS, one.name, namespace=self.namespace) is not None:
                    left.append(
                        f"the export {self.namespace}/{one.name} on the provider (without a binding nothing is"
                        " copied; only the provider ends it: on its pages, or `bind-backend export retire`)"
                    )
        return tuple(left)

    def offered(
        self, wanted: Wanted, request: Object | None, earlier: Sequence[AcceptablePermissionClaim] = ()
    ) -> Offer:
        """The claims that the provider makes for an API.

        The export tells what the provider will really claim. Where it may not be read, or is not there yet in
        a dry run, the request and the earlier answers tell as much as is known.

        Args:
            wanted: the API.
            request: the request as the provider left it, with the defaults of the API server; None before one
                stands (dry run).
            earlier: entries of the existing binding.

        Raises:
            CliError: the export has ended since the request was answered, or a claim is malformed.
        """
        try:
            export = self.cluster.get(EXPORTS, wanted.name, namespace=self.namespace)
        except RequestRefusedError as error:
            if error.status != 403:
                raise
            self._progress.note(
                f"{wanted.name}: what the provider claims cannot be read; the request and earlier answers count"
                f" ({error.message})"
            )
            return without_export(wanted, request, earlier)
        if export is not None and not is_deleting(export):
            return of_export(wanted, export)
        if request is not None:
            raise ended(wanted)
        return without_export(wanted, None, earlier)

    def pretty_name(self) -> str:
        """What the provider calls itself; its address when it does not say."""
        try:
            binding = self.cluster.get(CLUSTER_BINDINGS, keys.CLUSTER_BINDING_NAME, namespace=self.namespace)
        except CliError:
            binding = None
        spec = (binding or {}).get("spec")
        pretty = spec.get("providerPrettyName") if isinstance(spec, dict) else ""
        return inert(pretty, limit=80) if isinstance(pretty, str) and pretty else "the provider"


def _not_a_provider(namespace: str) -> CliError:
    return CliError(
        f"the provider does not take requests in the namespace {inert(namespace)}: "
        f"{EXPORT_REQUESTS.group_resource} or the namespace does not exist there",
        next_step="check the kubeconfig's server and namespace (--remote-namespace), or ask the provider",
    )
