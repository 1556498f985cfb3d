"""The audit line of a change, and the answers to changes that fail or make no sense."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.backend import names, retirement
from bind_agent.backend.http import audit
from bind_agent.backend.http.context import WEB
from bind_agent.backend.http.limits import remote
from bind_agent.backend.http.offers import away
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import links
from bind_agent.backend.pages.times import length
from bind_agent.backend.retiring import RetiringError
from bind_agent.backend.tenancy.address import AddressError
from bind_agent.backend.tenancy.credentials import TooManyCredentials
from bind_agent.backend.tenancy.provision import TenancyError, Tenant, TenantRevoked
from bind_agent.kube.errors import KubeError

_LOOK: Final = "Look at the page of the cluster again."


@asynccontextmanager
async def recorded(
    request: web.Request, session: Session, tenant: Tenant, action: str, resource: str = ""
) -> AsyncIterator[None]:
    """Write the audit line of a change, however it ends, and answer its failures.

    Raises:
        Refusal: the change failed, or makes no sense.
    """
    app = request.app[WEB]
    outcome, reason = audit.FAILED, ""
    try:
        yield
        outcome = audit.DONE
    except TenantRevoked as error:
        outcome, reason = audit.REFUSED, "TenantRevoked"
        raise revoked(tenant, error.by) from error
    except TooManyCredentials as error:
        outcome, reason = audit.REFUSED, "TooManyCredentials"
        wait = error.again - app.clock.now()
        raise Refusal(
            429,
            "too_many_credentials",
            "Too many earlier credentials of this cluster still work, so no further one was issued.",
            f"You can rotate again in {length(wait)}. If one has leaked, revoke all of them.",
            retry_after=max(1, int(wait.total_seconds())),
            link=links.cluster(tenant.namespace),
        ) from error
    except RetiringError as error:
        outcome, reason = audit.REFUSED, "RetiringError"
        raise Refusal(
            409,
            "not_yours_to_change",
            f"This cannot be changed here: {error}.",
            _LOOK,
            link=links.cluster(tenant.namespace),
        ) from error
    except (TenancyError, AddressError) as error:
        reason = type(error).__name__
        raise Refusal(
            503,
            "tenant_not_ready",
            f"This cannot be done now: {error}.",
            "Tell the operator of this provider.",
        ) from error
    except KubeError as error:
        reason = type(error).__name__
        raise away(f"{action} a credential" if not resource else f"{action} an API", error) from None
    finally:
        app.audit.record(
            action,
            person=session.person,
            outcome=outcome,
            remote=remote(request, app.options.trusted_proxies),
            tenant=tenant.namespace,
            cluster_id=tenant.who.cluster_id if tenant.who else "",
            resource=resource,
            reason=reason,
        )


def revoked(tenant: Tenant, by: str) -> Refusal:
    """The answer to a change of what was revoked before, and nothing of it was this person's doing now."""
    if by == names.BY_OPERATOR:
        message = "An operator of this provider has revoked this cluster already, so nothing was changed."
        advice = "Ask the operators; only they let it in again."
    else:
        advice = "Bind an API again on the command line; that issues a new one."
        message = "The credential of this cluster was revoked, so there is nothing to rotate."
        if by == names.BY_REAPER:
            message = (
                "The provider revoked the credential of this cluster because it had heard nothing of it for long, so"
                " there is nothing to rotate."
            )
    return Refusal(409, "tenant_revoked", message, advice, link=links.cluster(tenant.namespace))


def refuse_an_operators_end(tenant: Tenant, export: Object) -> None:
    """Ask nothing about an end that is not the person's to change.

    Raises:
        Refusal: the provider has announced it.
    """
    planned = retirement.planned(export)
    if planned is not None and planned.by != names.BY_PERSON:
        raise Refusal(
            409,
            "not_yours_to_change",
            f"The provider itself has announced the end of {meta.name(export)}, so it stays as announced.",
            "If it must go on, ask its operators.",
            link=links.cluster(tenant.namespace),
        )


def refuse_no_end(tenant: Tenant, export: Object) -> None:
    """Do not ask whether to take back what nobody has announced.

    Raises:
        Refusal: the API does not end.
    """
    if retirement.planned(export) is None:
        raise Refusal(
            409,
            "not_ending",
            f"{meta.name(export)} does not end, so there is nothing to take back.",
            _LOOK,
            link=links.cluster(tenant.namespace),
        )
