"""What a person may bind, and the answer that a CLI gets for it (W-B5, W-B6).

Everything that can be known is checked before anything is written; each refusal has a reason of its own.
"""

import re
from typing import Any, Final

import structlog
from aiohttp import web

from bind_agent.api import keys, payloads
from bind_agent.api.meta import Object
from bind_agent.api.resource import EXPORT_REQUESTS
from bind_agent.backend import names
from bind_agent.backend.access import Kind
from bind_agent.backend.allowed import may_bind
from bind_agent.backend.exports import Problem, draft
from bind_agent.backend.grants import NameTaken
from bind_agent.backend.http import audit
from bind_agent.backend.http.context import WEB, Web
from bind_agent.backend.http.limits import remote
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Bind
from bind_agent.backend.person import Person
from bind_agent.backend.templates import Choice, choose
from bind_agent.backend.tenancy.address import AddressError
from bind_agent.backend.tenancy.identity import IdentityError, identity
from bind_agent.backend.tenancy.provision import TenancyError, TenantRevoked
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

_PLURAL: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_GROUP: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

_AWAY: Final = "Try again in a moment; if it goes on, tell the operators of this provider."
_ASK: Final = "Ask the operators of this provider"


def kind_of(plural: str, group: str) -> Kind:
    """The API that parameters name.

    Raises:
        Refusal: they name none.
    """
    if not _PLURAL.fullmatch(plural) or (group and not _GROUP.fullmatch(group)):
        raise Refusal(
            400,
            "bad_resource",
            "The parameters resource and group do not name an API.",
            "Choose one from the catalogue.",
        )
    return Kind(group, plural)


async def offered(app: Web, person: Person, kind: Kind) -> Choice:
    """The template that a person may bind.

    Raises:
        Refusal: it is not offered, not to this person, or cannot be exported as it stands.
    """
    choice = choose(app.views.templates_of(kind))
    if choice is None or not may_bind(choice.template, person):
        # The same words for both: what exists is nobody's business who may not use it.
        raise Refusal(
            403,
            "not_offered",
            f"{kind} is not offered to you.",
            "Choose another API from the catalogue, or ask the operators of this provider.",
        )
    try:
        found = draft(kind, await app.crds.read(kind), choice, app.policy)
    except KubeError as error:
        raise away("read an API", error) from None
    if isinstance(found, Problem):
        raise Refusal(
            409,
            "not_exportable",
            f"{kind} is offered but cannot be bound now ({found.reason}): {found.message}.",
            "Tell the operators of this provider.",
        )
    return choice


async def reachable(app: Web, person: Person, bind: Bind) -> None:
    """Check that a kubeconfig could be made, before anything is written for one (W-B8).

    Raises:
        Refusal: it is not known how the app cluster would reach this provider, and there is no tenant that
            has got a kubeconfig before.
    """
    if not app.no_address:
        return
    try:
        known = await app.tenants.of_person(person.issuer, person.subject)
    except KubeError as error:
        raise away("look for your tenant", error) from None
    if not any(one.who is not None and one.who.cluster_id == bind.cluster_id for one in known):
        raise _no_address()


async def hand_out(request: web.Request, person: Person, bind: Bind, kind: Kind) -> dict[str, Any]:
    """Make the tenant and the answer for its CLI. The answer holds a credential.

    Raises:
        Refusal: see `offered`; or the tenant cannot be made now.
    """
    app = request.app[WEB]
    choice = await offered(app, person, kind)
    await reachable(app, person, bind)
    namespace = ""
    outcome, reason = audit.FAILED, ""
    try:
        added = await app.tenants.add(
            identity(person.subject, bind.cluster_id, person.issuer),
            prefix=app.tenancy.namespace_prefix,
            pretty_name=app.tenancy.pretty_name,
            person=person,
        )
        namespace, outcome = added.namespace, audit.DONE
    except IdentityError as error:
        reason, outcome = "IdentityRefused", audit.REFUSED
        raise Refusal(403, "identity_refused", f"You cannot become a tenant: {error}.", f"{_ASK}.") from None
    except AddressError:
        reason = "ExternalAddressMissing"
        raise _no_address() from None
    except TenantRevoked as error:
        reason, outcome = "TenantRevoked", audit.REFUSED
        own = error.by != names.BY_OPERATOR
        advice = "Bind again: that issues a new one." if own else f"{_ASK} to let it in again."
        raise Refusal(403, "tenant_revoked", f"{error}.", advice) from None
    except (TenancyError, NameTaken) as error:
        reason = "TenantNotReady"
        raise Refusal(
            503, "tenant_not_ready", f"Your tenant cannot be used now: {error}.", _AWAY, retry=True
        ) from None
    except KubeError as error:
        reason = type(error).__name__
        raise away("make a tenant", error) from None
    finally:
        app.audit.record(
            audit.BIND,
            person=person,
            outcome=outcome,
            remote=remote(request, app.options.trusted_proxies),
            tenant=namespace,
            cluster_id=bind.cluster_id,
            resource=str(kind),
            reason=reason,
        )
    return payloads.binding_response(
        session_id=bind.sid,
        identity=person.id,
        kubeconfig=added.kubeconfig,
        requests=(export_request(kind, choice),),
    )


def export_request(kind: Kind, choice: Choice) -> Object:
    """The request that the CLI will make (spec 3.10.2)."""
    wanted: Object = {"group": kind.group} if kind.group else {}
    wanted["resource"] = kind.plural
    if choice.claims:
        wanted["permissionClaims"] = [dict(claim) for claim in choice.claims]
    return {
        "kind": keys.KIND_EXPORT_REQUEST,
        "apiVersion": EXPORT_REQUESTS.api_version,
        "metadata": {"name": str(kind)},
        "spec": {"resources": [wanted]},
        "status": {},
    }


def _no_address() -> Refusal:
    return Refusal(
        503,
        "no_external_address",
        "This provider does not know the address at which your cluster would reach it.",
        "Tell the operators of this provider: --external-address and --external-ca-file have to be set.",
    )


def away(what: str, error: KubeError, *, link: str = "") -> Refusal:
    """The answer when the API server fails; its own words go to the log only.

    Args:
        what: was to be done.
        error: what came instead.
        link: where one begins again, when the same request would not do a second time.
    """
    log.warning("the API server failed a request of the web half", doing=what, error=describe(error))
    if error.retriable:
        return Refusal(
            503,
            "control_plane_away",
            f"The control plane did not answer in time to {what}.",
            _AWAY,
            retry_after=5,
            retry=True,
            link=link,
        )
    return Refusal(
        503,
        "control_plane_refused",
        f"The control plane refused to {what} ({type(error).__name__}).",
        "Tell the operators of this provider; the reason is in the backend's log.",
    )
