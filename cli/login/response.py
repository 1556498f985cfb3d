"""What a login brought, checked as if a person had typed it: the requests and the kubeconfig (threats A41-A45, A60)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from bind_agent.api.guards import CLAIMABLE
from bind_agent.api.payloads import BindingResponse
from cli.binding.credential import Kubeconfig, accept
from cli.binding.request import ExportRequest, check_request
from cli.errors import CliError, UsageError

MAX_REQUESTS: Final = 64


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be bound.

    Attributes:
        requests: the checked requests, in the provider's order.
        kubeconfig: the provider's, checked.
    """

    requests: tuple[ExportRequest, ...]
    kubeconfig: Kubeconfig


def check(
    response: BindingResponse,
    *,
    namespace: str = "",
    allow_private: bool,
    claimable: Collection[str] = CLAIMABLE,
) -> Chosen:
    """Check the parts of an answer whose kind and session are right.

    Args:
        response: the answer.
        namespace: of the provider instead of the kubeconfig's.
        allow_private: private and loopback addresses are fine.
        claimable: group resources that may be claimed.

    Raises:
        CliError: a part is refused; nothing was run, read, written or connected to.
    """
    count = len(response.requests)
    if not 0 < count <= MAX_REQUESTS:
        raise CliError(
            "nothing was chosen at the provider" if not count else f"the provider sent {count} requests",
            next_step="run the command again and choose an API in the browser",
        )
    try:
        requests = tuple(
            check_request(request, origin=f"request {number} of the provider's answer", claimable=claimable)
            for number, request in enumerate(response.requests, 1)
        )
        kubeconfig = accept(response.kubeconfig_bytes(), namespace=namespace, allow_private=allow_private)
    except UsageError as error:
        # Not the person's input, so neither the exit code for that nor the hint to mend it.
        raise CliError(error.message, next_step=f"tell the provider: {error.next_step}") from None
    return Chosen(requests, kubeconfig)
