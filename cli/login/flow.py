"""The order of a login: look at the provider, listen, send the browser there, take one answer, check it (spec 7.2)."""

from collections.abc import Callable
from dataclasses import dataclass

from bind_agent.api import keys
from bind_agent.api.guards import CLAIMABLE
from bind_agent.api.meta import is_deleting, uid
from bind_agent.api.resource import NAMESPACES
from cli.binding.consumer import ConsumerSide
from cli.errors import CliError
from cli.login import provider as providers
from cli.login import response as responses
from cli.login import session as sessions
from cli.login.answers import OneTimeCode
from cli.login.listener import Listener
from cli.login.provider import Provider
from cli.login.redeem import redeem
from cli.login.response import Chosen
from cli.output import Progress, inert
from cli.web import Web


@dataclass(frozen=True, slots=True)
class Wish:
    """How to log in.

    Attributes:
        url: the provider's address.
        web: how web servers are reached.
        timeout: seconds for the person in the browser.
        open_address: opens a browser; None leaves that to the person.
        write: whether the namespace `klutch-bind` may be created; a dry run does not.
        remote_namespace: namespace on the provider instead of the kubeconfig's.
        allow_private: the provider's API server may have a private or loopback address.
        claimable: group resources that may be claimed.
    """

    url: str
    web: Web
    timeout: float
    open_address: Callable[[str], None] | None
    write: bool = True
    remote_namespace: str = ""
    allow_private: bool = True
    claimable: frozenset[str] = CLAIMABLE


def log_in(wish: Wish, consumer: ConsumerSide, progress: Progress) -> Chosen:
    """Log in and see what was chosen.

    Raises:
        CliError: what failed, what to do, and what was left behind.
    """
    provider = providers.fetch(wish.web, wish.url)
    cluster_uid, created = _cluster_uid(consumer, progress, write=wish.write)
    try:
        attempt = sessions.begin(cluster_uid, back_channel=bool(provider.redeem_url))
        with Listener(attempt, note=lambda why: progress.note(inert(why, limit=400))) as listener:
            _invite(wish, provider, attempt.address(provider.login_url, listener.port), progress)
            answer = listener.wait(
                timeout=wish.timeout,
                waiting=lambda since: progress.waiting("waiting for the login in the browser", since=since),
            )
        if isinstance(answer, OneTimeCode):
            answer = redeem(wish.web, provider.redeem_url, answer, attempt)
        chosen = responses.check(
            answer,
            namespace=wish.remote_namespace,
            allow_private=wish.allow_private,
            claimable=wish.claimable,
        )
    except CliError as error:
        raise error.with_left(created) from None
    apis = ", ".join(one.name for request in chosen.requests for one in request.wanted)
    progress.step(f"logged in at {provider.name}; chosen: {inert(apis)}")
    return chosen


def _cluster_uid(consumer: ConsumerSide, progress: Progress, *, write: bool) -> tuple[str, tuple[str, ...]]:
    """UID of the namespace that stands for the app cluster (spec 7.2 step 7), and what was created for it."""
    created: list[str] = []
    namespace = consumer.cluster.get(NAMESPACES, keys.CONSUMER_NAMESPACE)
    if namespace is None and write:
        created = consumer.ensure_namespace()
        namespace = consumer.cluster.get(NAMESPACES, keys.CONSUMER_NAMESPACE)
    if namespace is None and not write:
        progress.note(
            f"the app cluster has no namespace {keys.CONSUMER_NAMESPACE} yet, and a dry run creates none: the provider"
            " will take a real run for another cluster"
        )
        namespace = consumer.standing_for()
    if namespace is None or is_deleting(namespace) or not uid(namespace):
        raise CliError(
            f"the namespace {keys.CONSUMER_NAMESPACE} of the app cluster is missing or being deleted",
            next_step="wait until it is gone, then run the command again",
        )
    return uid(namespace), tuple(created)


def _invite(wish: Wish, provider: Provider, address: str, progress: Progress) -> None:
    progress.step(f"log in at {provider.name} and choose an API; open this address in a browser:")
    progress.step(f"\n    {inert(address, limit=8000)}\n")
    if wish.open_address is not None:
        wish.open_address(address)
