"""Options and results that all ways of binding share: ``apiservice``, a provider's URL, and bundles."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from bind_agent import claim_flag
from bind_agent.api import keys
from bind_agent.api.consumer_side import CONFLICT_POLICIES
from cli.access import Access
from cli.binding.claims import claimed_kinds
from cli.binding.consent import Asker, Policy
from cli.binding.consumer import ConsumerSide
from cli.binding.credential import Kubeconfig
from cli.binding.flow import Outcome, Plan
from cli.binding.install import check_image
from cli.binding.provider import ProviderSide
from cli.binding.request import ExportRequest
from cli.cluster import Cluster
from cli.options import Connection, Seconds
from cli.output import (
    Progress,
    inert,
    render_object,
    render_server_tables,
    with_cell,
    without_managed_fields,
)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person chose about a binding, whatever way it comes about.

    Attributes:
        accept_claims: as given; None asks.
        allow_claim: kinds that may be claimed besides the usual ones.
        conflict_policy: as given; None leaves it to the binding.
        skip_konnector: leave the konnector alone.
        konnector_image: empty for the default.
        remote_namespace: namespace on the provider instead of the kubeconfig's.
        allow_private_provider: private and loopback addresses are fine.
        timeout: seconds for each wait.
    """

    accept_claims: str | None
    allow_claim: tuple[str, ...]
    conflict_policy: str | None
    skip_konnector: bool
    konnector_image: str
    remote_namespace: str
    allow_private_provider: bool
    timeout: float

    @property
    def policy(self) -> Policy | None:
        """The value of ``--accept-claims``.

        Raises:
            UsageError: it is not understood.
        """
        return None if self.accept_claims is None else Policy.parse(self.accept_claims)

    @property
    def claimable(self) -> frozenset[str]:
        """Kinds that may be claimed."""
        return claim_flag.claimable(self.allow_claim)

    @property
    def image(self) -> str:
        """The value of ``--konnector-image``.

        Raises:
            UsageError: it is no image reference.
        """
        return check_image(self.konnector_image) if self.konnector_image else ""

    def check(self) -> None:
        """Refuse what cannot be meant before anything is sent anywhere.

        Raises:
            UsageError: naming the option.
        """
        _ = self.policy, self.image

    def plan(
        self,
        request: ExportRequest,
        kubeconfig: Kubeconfig,
        *,
        wait: bool,
        move_provider: bool,
        prefer_secret: str = "",
    ) -> Plan:
        """What a run of these choices does."""
        return Plan(
            request=request,
            kubeconfig=kubeconfig,
            policy=self.policy,
            image=self.image,
            skip_konnector=self.skip_konnector,
            wait_ready=wait,
            timeout=self.timeout,
            prefer_secret=prefer_secret,
            claimable=self.claimable,
            move_provider=move_provider,
            conflict_policy=self.conflict_policy or "",
        )


MOVE_PROVIDER: Final = click.option(
    "--move-provider",
    is_flag=True,
    help="The provider has a new address, and it is the same tenant there; else that is proven, or asked.",
)

ALLOW_CLAIM: Final = click.option(
    claim_flag.FLAG,
    multiple=True,
    type=claim_flag.ClaimedKind(),
    metavar=claim_flag.METAVAR,
    help="A kind that may be claimed besides Secrets and ConfigMaps; may be repeated. Its claims are asked about "
    "like others, and a konnector that is installed is told the same.",
)

_OPTIONS: Final = (
    click.option(
        "--remote-namespace",
        metavar="NS",
        default="",
        help="Namespace on the provider; else the one of the kubeconfig's context.",
    ),
    click.option(
        "--allow-private-provider/--refuse-private-provider",
        default=True,
        show_default=True,
        help="The provider may have a private or loopback address.",
    ),
    click.option(
        "--accept-claims",
        metavar="all|none|KIND,...",
        help="Answer the questions about claims beforehand; kinds are RESOURCE or RESOURCE.GROUP. "
        "States the whole outcome: earlier answers do not count.",
    ),
    ALLOW_CLAIM,
    click.option(
        "--conflict-policy",
        type=click.Choice(CONFLICT_POLICIES, case_sensitive=False),
        show_default="as the binding says, Fail for a new one",
        help="What becomes of objects that exist on the provider only: reported, or adopted.",
    ),
    click.option("--skip-konnector", is_flag=True, help="Leave the konnector alone."),
    click.option(
        "--konnector-image", metavar="IMAGE", default="", help="Install the konnector's image IMAGE."
    ),
    click.option(
        "--timeout", type=Seconds(), default="10m", show_default=True, help="Greatest length of each wait."
    ),
)


def choices(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command these options, as one `Choices`."""
    names = [field.name for field in dataclasses.fields(Choices)]

    @functools.wraps(function)
    def wrapped(**values: Any) -> R:
        chosen = Choices(**{name: values.pop(name) for name in names})
        return function(choices=chosen, **values)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped


@contextmanager
def provider_side(
    connection: Connection, kubeconfig: Kubeconfig, progress: Progress
) -> Iterator[ProviderSide]:
    """The provider, ready to be talked to.

    Raises:
        CliError: its address is refused.
    """
    access = Access(kubeconfig.config())
    access.check_address()
    with Cluster(
        access, label="provider", timeout=connection.request_timeout, trace=progress.detail
    ) as provider:
        yield ProviderSide(provider, kubeconfig.namespace, progress)


def asker() -> Asker:
    """Asks the person; questions go to stderr, so that stdout holds the result only."""
    return Asker(sys.stdin, _prompt)


def _prompt(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def result(outcomes: Sequence[Outcome], consumer: ConsumerSide, form: str, *, managed_fields: bool) -> str:
    """The bindings that came out, in the form that was asked for."""
    if form in {"json", "yaml"}:
        bindings = [binding for outcome in outcomes for binding in outcome.bindings]
        if not managed_fields:
            bindings = [without_managed_fields(binding) for binding in bindings]
        return render_object(bindings[0] if len(bindings) == 1 else bindings, form)
    wanted = [one for outcome in outcomes for one in outcome.wanted]
    if form == "name":
        kind = f"{keys.KIND_BINDING.lower()}.{keys.GROUP}"
        return "".join(f"{kind}/{inert(one.name)}\n" for one in wanted)
    tables = consumer.tables(outcomes[-1].served, wanted)
    bindings = [binding for outcome in outcomes for binding in outcome.bindings]
    shown = [
        with_cell(table, "Resources", ",".join(claimed_kinds(binding)))
        for table, binding in zip(tables, bindings, strict=True)
    ]
    return render_server_tables(shown, wide=form == "wide")
