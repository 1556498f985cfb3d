"""The konnector on the app cluster: what would be installed, whether it has to be, and doing it.

The manifests are read from ``manifests/konnector``; nothing about them is written here a second time.
"""

import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bind_agent._version import __version__
from bind_agent.api import keys
from bind_agent.api.guards import CLAIMABLE
from bind_agent.api.meta import Object, name, namespace
from bind_agent.api.resource import BINDINGS, DEPLOYMENTS, Resource
from bind_agent.manifests import KONNECTOR_REPOSITORY, is_image, konnector_image, konnector_manifests
from cli.binding.konnector_claims import lacking, with_claims
from cli.cluster import Cluster
from cli.errors import CliError, UsageError, WaitTimeoutError
from cli.output import Progress, inert

REPOSITORY: Final = KONNECTOR_REPOSITORY
_POLL: Final = 1.0
_SEMVER: Final = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")


class Action(StrEnum):
    """What happens to the konnector's Deployment."""

    INSTALL = "install"
    UPDATE = "update"
    LEAVE = "leave"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about the konnector, and why.

    Attributes:
        action: see `Action`.
        image: the image to install; empty when nothing is installed.
        reason: one clause for a person.
        arguments: what the konnector is started with when this was done, as far as it can be seen.
        present: whether there is a Deployment already.
    """

    action: Action
    image: str
    reason: str
    arguments: tuple[str, ...] = ()
    present: bool = False


def default_image() -> str:
    """The image that belongs to this version of the CLI."""
    return konnector_image()


def check_image(image: str) -> str:
    """The image reference itself.

    Raises:
        UsageError: it cannot be one.
    """
    if not is_image(image):
        raise UsageError(
            f"{inert(image, limit=100)!r} is not an image reference",
            next_step=f"give --konnector-image as REPOSITORY:TAG, for instance {default_image()}",
        )
    return image


def manifests(image: str, arguments: Sequence[str] = ()) -> list[Object]:
    """All objects of the konnector with this image, in the order in which they are applied."""
    return konnector_manifests(image, arguments)


def decide(
    deployment: Object | None, *, image: str, skip: bool, claimable: Collection[str] = CLAIMABLE
) -> Decision:
    """What to do about the konnector (spec 7.3.5). Pure.

    Args:
        deployment: the Deployment ``klutch-bind/konnector`` as it is; None when there is none.
        image: ``--konnector-image``; empty when not given. It wins over ``skip``.
        skip: ``--skip-konnector``.
        claimable: group resources that may be claimed; a konnector that is installed is told so, and keeps what it
            was told before.

    Raises:
        CliError: the installed version cannot be compared.
    """
    decision = _decide(deployment, image=image, skip=skip)
    arguments = _arguments(deployment)
    if decision.action in (Action.INSTALL, Action.UPDATE):
        arguments = with_claims(arguments, claimable)
    return replace(decision, arguments=arguments, present=deployment is not None)


def _arguments(deployment: Object | None) -> tuple[str, ...]:
    found = _first_container(deployment or {}).get("args")
    return tuple(str(one) for one in found) if isinstance(found, list) else ()


def _decide(deployment: Object | None, *, image: str, skip: bool) -> Decision:
    if skip and not image:
        return Decision(Action.SKIP, "", "--skip-konnector")
    if image or deployment is None:
        action = Action.INSTALL if deployment is None else Action.UPDATE
        return Decision(action, image or default_image(), "as asked for" if image else "none is installed")
    return _compare(_first_image(deployment))


def _compare(installed: str) -> Decision:
    """What to do about a Deployment that is there, by its image."""
    ours = default_image()
    repository, _, tag = installed.rpartition(":")
    if repository != REPOSITORY or "/" in tag:
        return Decision(
            Action.LEAVE, "", f"{inert(installed) or 'an unknown image'} is installed, not from here"
        )
    if tag == "latest":
        return Decision(Action.LEAVE, "", "the latest version is installed")
    have, want = _version(tag), _version(__version__)
    if have is None or want is None:
        raise CliError(
            f"the version of the installed konnector, {inert(tag)}, cannot be compared",
            next_step=f"decide yourself: --konnector-image {ours}, or --skip-konnector",
        )
    if have < want:
        return Decision(Action.UPDATE, ours, f"{tag} is older")
    if have > want:
        return Decision(Action.LEAVE, "", f"{tag} is newer than this CLI (v{__version__})")
    return Decision(Action.LEAVE, "", f"{tag} is installed")


def _first_container(deployment: Object) -> Object:
    try:
        container = deployment["spec"]["template"]["spec"]["containers"][0]
    except (KeyError, IndexError, TypeError):
        return {}
    return container if isinstance(container, dict) else {}


def _first_image(deployment: Object) -> str:
    image = _first_container(deployment).get("image")
    return image if isinstance(image, str) else ""


def _version(text: str) -> tuple[int, int, int, bool, str] | None:
    """A version that compares in release order; a pre-release comes before its release."""
    found = _SEMVER.fullmatch(text)
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    return int(major), int(minor), int(patch), pre is None, pre or ""


class Installer:
    """Brings the konnector to the app cluster.

    Args:
        cluster: the app cluster.
        progress: told what is done and waited for.
        sleep: replaced in tests.
    """

    def __init__(
        self, cluster: Cluster, progress: Progress, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._cluster = cluster
        self._progress = progress
        self._sleep = sleep

    def deployment(self) -> Object | None:
        """The installed Deployment, if any."""
        return self._cluster.get(DEPLOYMENTS, keys.KONNECTOR, namespace=keys.CONSUMER_NAMESPACE)

    def apply(self, decision: Decision) -> list[str]:
        """Install or update, when that was decided.

        Returns:
            What was written, in words.
        """
        if decision.action in (Action.LEAVE, Action.SKIP):
            self._progress.step(f"konnector: left as it is ({decision.reason})")
            return []
        written = []
        for obj in manifests(decision.image, decision.arguments):
            self._cluster.apply(self._cluster.resource_of(obj), obj, namespace=namespace(obj))
            written.append(f"{obj['kind']} {name(obj)}")
        self._progress.step(f"konnector: {decision.image} installed ({decision.reason})")
        return written

    def tell_lacking(self, decision: Decision, claimed: Collection[str]) -> None:
        """Tell how the konnector is made to copy what was accepted, where it does not do so already."""
        if told := lacking(decision.arguments, claimed, present=decision.present):
            self._progress.note(told)

    def wait_served(self, *, timeout: float) -> Resource:
        """Wait until the app cluster serves bindings: a konnector installs the kind when it starts.

        Returns:
            The endpoint with the scope that is served (spec section 1).

        Raises:
            WaitTimeoutError: it did not come; the message says how it stands with the konnector.
        """
        started = time.monotonic()
        while True:
            served = self._cluster.served(BINDINGS.group, BINDINGS.version, BINDINGS.plural)
            if served is not None:
                return served
            state = f"waiting for the konnector to start and to install {BINDINGS.crd_name}"
            if time.monotonic() - started > timeout:
                stand, next_step = _stand(self.deployment())
                raise WaitTimeoutError(
                    f"the app cluster does not serve {BINDINGS.crd_name} after {timeout:.0f}s: {stand}",
                    next_step=next_step,
                )
            self._progress.waiting(state, since=started)
            self._sleep(_POLL)


def _stand(deployment: Object | None) -> tuple[str, str]:
    """How it stands with a konnector that does not start, and what to do about it. Pure."""
    if deployment is None:
        return "no konnector is deployed here", (
            "leave out --skip-konnector, or have one installed (`kubectl bind konnector manifests | kubectl apply"
            " --server-side -f -`), then run the command again"
        )
    status = deployment.get("status")
    available = status.get("availableReplicas") if isinstance(status, dict) else 0
    return (
        f"the konnector has {available or 0} available pods ({inert(_first_image(deployment))})",
        f"look at the pods in the namespace {keys.CONSUMER_NAMESPACE}, then run the command again",
    )
