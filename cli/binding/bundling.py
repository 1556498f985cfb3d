"""Making a bundle with the tenant's credential: hand in the requests, settle the claims, list the objects.

The app cluster is not touched: whoever applies the bundle binds. What has to happen on the provider happens here,
because a GitOps tool has no way to the provider and no answer to wait for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bind_agent import claim_flag
from bind_agent.api import consumer_side
from bind_agent.api.bundle import BoundApi, Credential, bundle
from bind_agent.api.guards import CLAIMABLE
from bind_agent.api.meta import Object
from bind_agent.manifests import binding_crd
from cli.binding import consent
from cli.binding.credential import Kubeconfig
from cli.binding.install import default_image, manifests
from cli.binding.offering import Offer
from cli.binding.provider import ProviderSide, Submitted
from cli.binding.request import ExportRequest, Wanted
from cli.errors import CliError, UsageError
from cli.output import Progress


@dataclass(frozen=True, slots=True)
class Wish:
    """What a bundle is to hold.

    Attributes:
        requests: the checked requests.
        kubeconfig: the provider's, checked.
        policy: ``--accept-claims``; None asks.
        conflict_policy: of the bindings; empty for none.
        konnector: whether the konnector and the CRD of bindings are in it.
        image: the konnector's; empty for the default.
        secret: name of the Secret with the kubeconfig; empty for one that follows from provider and tenant.
        with_secret: whether the Secret is in it, or only referred to.
        timeout: seconds for each wait.
        claimable: group resources that may be claimed; the konnector in it is told the same.
    """

    requests: Sequence[ExportRequest]
    kubeconfig: Kubeconfig
    policy: consent.Policy | None
    conflict_policy: str = ""
    konnector: bool = True
    image: str = ""
    secret: str = ""
    with_secret: bool = True
    timeout: float = 600.0
    claimable: frozenset[str] = CLAIMABLE

    def check(self) -> None:
        """Refuse requests that contradict each other.

        Raises:
            UsageError: an API is asked for twice.
        """
        names = [one.name for request in self.requests for one in request.wanted]
        if double := sorted({one for one in names if names.count(one) > 1}):
            raise UsageError(
                f"asked for more than once: {', '.join(double)}", next_step="name each API in one request"
            )


def make(wish: Wish, provider: ProviderSide, asker: consent.Asker, progress: Progress) -> list[Object]:
    """Make the bundle.

    Raises:
        CliError: what failed, and what was left behind; requests that this run handed in are withdrawn.
    """
    wish.check()
    submitted: list[Submitted] = []
    offers: list[tuple[Wanted, Offer]] = []
    apis: list[BoundApi] = []
    try:
        for request in wish.requests:
            submitted.append(provider.submit(request, timeout=wish.timeout))
            answered = provider.wait(submitted[-1], timeout=wish.timeout)
            offers += [(wanted, provider.offered(wanted, answered)) for wanted in request.wanted]
        consent.check_listed(wish.policy, [offer for _, offer in offers])
        for wanted, offer in offers:
            claims = consent.settle(
                offer.claims,
                (),
                api=wanted.name,
                provider=provider.pretty_name(),
                policy=wish.policy,
                asker=asker,
                progress=progress,
                allowed=wish.claimable,
            )
            apis.append(BoundApi(wanted.group, wanted.plural, tuple(claims), wish.conflict_policy))
    except BaseException as error:
        handed_in = zip(submitted, wish.requests, strict=False)
        left = tuple(said for one, request in handed_in for said in provider.step_back(one, request.wanted))
        if isinstance(error, CliError):
            raise error.with_left(left) from None
        for entry in left:
            progress.note(f"left behind: {entry}")
        raise
    return objects(wish, apis)


def objects(wish: Wish, apis: Sequence[BoundApi]) -> list[Object]:
    """The bundle's objects, once the claims are settled."""
    checked = wish.kubeconfig.checked
    credential = Credential(
        secret=wish.secret or consumer_side.secret_name(checked.server, checked.namespace),
        document=checked.document() if wish.with_secret else None,
    )
    konnector = _konnector(wish) if wish.konnector else []
    return bundle(apis, credential, konnector=konnector)


def _konnector(wish: Wish) -> list[Object]:
    arguments = claim_flag.arguments(wish.claimable)
    return [*manifests(wish.image or default_image(), arguments), binding_crd()]
