"""Whether objects of a bound kind exist on the app cluster."""

from collections.abc import Mapping
from typing import Any

import structlog

from bind_agent.kube.client import Client
from bind_agent.kube.errors import KubeError
from konnector.schema.serving import listable

log = structlog.get_logger(__name__)


async def may_have_objects(client: Client, crd: Mapping[str, Any]) -> bool:
    """Whether an object of that kind may be stored; False only where the API server has just said that there is none.

    The right to list is that of the binding's own role. An object that somebody creates between this question and
    what follows from the answer is not seen: no request to an API server covers both.

    Args:
        client: of the app cluster.
        crd: as found there.
    """
    resource = listable(crd)
    if resource is None:
        return True
    try:
        page = await anext(client.pages(resource, page_size=1))
    except KubeError as error:
        # Without the right, or with a server that does not answer, nothing is known, and what is stored is at stake.
        log.debug("cannot ask whether there are objects", resource=str(resource), error=str(error))
        return True
    return bool(page.items) or not page.last
