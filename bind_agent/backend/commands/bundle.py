"""`bind-backend tenant add --bundle`: the file with which a tenant's app cluster binds by GitOps."""

import asyncio
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from bind_agent import claim_flag, handout
from bind_agent.api import claims, naming
from bind_agent.api.acceptance import Acceptance, AcceptanceError
from bind_agent.api.bundle import BoundApi
from bind_agent.api.consumer_side import CONFLICT_POLICIES
from bind_agent.backend import bundling
from bind_agent.backend.access import Kind
from bind_agent.backend.commands.session import Session
from bind_agent.backend.exports import refuse_kind
from bind_agent.backend.options.types import Duration, F, Word
from bind_agent.backend.tenancy.provision import Added
from bind_agent.manifests import dump, is_image, konnector_image

_STDOUT: Final = "-"


@dataclass(frozen=True, slots=True)
class Handout:
    """A bundle and where it goes.

    Attributes:
        path: file, or `-` for standard output.
        wish: what it holds.
    """

    path: str
    wish: bundling.Wish

    async def make(self, session: Session, added: Added) -> None:
        """Make the bundle of a tenant and write it.

        Raises:
            click.UsageError: --accept-claims lists what nothing claims.
            BundleError: there is none; says what to do.
            HandoutError: it cannot be written.
            KubeError: a request failed.
        """
        try:
            made = await bundling.make(session.client.config, added.kubeconfig, self.wish)
        except bundling.AnswersError as error:
            raise click.UsageError(str(error)) from None
        except asyncio.CancelledError:
            click.echo(
                f"interrupted: requests that were made are withdrawn; the tenant {added.namespace} stays, and so do"
                " exports that it was given meanwhile (`bind-backend export list`)",
                err=True,
            )
            raise
        for line in decisions(made.apis):
            click.echo(line, err=True)
        text = dump(made.objects)
        if self.path == _STDOUT:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            handout.write(Path(self.path), text.encode())

    def say(self, added: Added) -> None:
        """Tell on standard error what was done, because standard output may be the bundle."""
        verb = "added" if added.created else "exists"
        apis = ", ".join(str(kind) for kind in self.wish.apis)
        click.echo(f"tenant {verb}: namespace {added.namespace}; bundle for {apis}", err=True)
        where = "FILE" if self.path == _STDOUT else self.path
        click.echo(
            f"next, with a kubeconfig of the app cluster: kubectl apply --server-side -f {where}", err=True
        )


def decisions(apis: Sequence[BoundApi]) -> list[str]:
    """What was decided about the claims, one line each (pure)."""
    return [
        f"{api.plural}.{api.group}: claim {entry.state.lower()}: {claims.describe(entry)}"
        for api in apis
        for entry in api.claims
    ]


def options(command: F) -> F:
    """Add the flags of a bundle and pass them as `bundle_`; None without `--bundle`."""

    @click.option(
        "--bundle",
        "path",
        metavar="FILE",
        default="",
        help="Also ask for APIs, and write everything that binds them to FILE (mode 0600; - is standard output).",
    )
    @click.option("--api", "apis", metavar="RESOURCE.GROUP", multiple=True, help="An API of the bundle.")
    @click.option(
        "--accept-claims",
        metavar="all|none|KIND,...",
        help="Which claims of these APIs the bindings accept; kinds are RESOURCE or RESOURCE.GROUP.",
    )
    @click.option(
        claim_flag.FLAG,
        multiple=True,
        type=claim_flag.ClaimedKind(),
        metavar=claim_flag.METAVAR,
        help="A kind that the bundle may accept claims on, besides Secrets and ConfigMaps.",
    )
    @click.option(
        "--conflict-policy",
        type=Word(CONFLICT_POLICIES),
        help="What becomes of objects that exist here only: reported, or adopted.",
    )
    @click.option(
        "--konnector-image",
        default=konnector_image,
        show_default="the one of this version",
        help="Image of the konnector in the bundle.",
    )
    @click.option("--skip-konnector", is_flag=True, help="Leave the konnector out of the bundle.")
    @click.option("--secret-name", default="", help="Name of the Secret with the kubeconfig.")
    @click.option(
        "--without-secret", is_flag=True, help="Only refer to that Secret; --out writes the kubeconfig."
    )
    @click.option(
        "--bundle-timeout",
        type=Duration(timedelta(seconds=1), timedelta(hours=1)),
        default="2m",
        show_default=True,
        help="How long the backend may take to make the exports.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        path: str,
        apis: tuple[str, ...],
        accept_claims: str | None,
        allow_claim: tuple[str, ...],
        conflict_policy: str | None,
        konnector_image: str,
        skip_konnector: bool,
        secret_name: str,
        without_secret: bool,
        bundle_timeout: timedelta,
        **rest: Any,
    ) -> Any:
        if bool(path) != bool(apis):
            raise click.UsageError("--bundle and --api belong together: give both or neither")
        if not path:
            return command(*args, bundle_=None, **rest)
        if without_secret and rest.get("out") is None:
            raise click.UsageError("--without-secret needs --out, or nobody would get the kubeconfig")
        wish = bundling.Wish(
            apis=_kinds(apis),
            acceptance=_acceptance(accept_claims),
            conflict_policy=conflict_policy or "",
            image="" if skip_konnector else _image(konnector_image),
            secret=_name(secret_name),
            with_secret=not without_secret,
            timeout=bundle_timeout.total_seconds(),
            claimable=claim_flag.claimable(allow_claim),
        )
        return command(*args, bundle_=Handout(path, wish), **rest)

    return wrapped  # type: ignore[return-value]


def _kinds(apis: tuple[str, ...]) -> tuple[Kind, ...]:
    kinds = []
    for text in apis:
        plural, _, group = text.partition(".")
        kind = Kind(group, plural)
        if not naming.is_resource(plural) or not naming.is_group(group):
            raise click.BadParameter(
                f"{text!r} is no API: write RESOURCE.GROUP, for instance databases.example.org",
                param_hint="--api",
            )
        if (problem := refuse_kind(kind)) is not None:
            raise click.BadParameter(problem.message, param_hint="--api")
        if kind not in kinds:
            kinds.append(kind)
    return tuple(kinds)


def _acceptance(text: str | None) -> Acceptance | None:
    try:
        return None if text is None else Acceptance.read(text)
    except AcceptanceError as error:
        raise click.UsageError(str(error)) from None


def _image(image: str) -> str:
    if not is_image(image):
        raise click.BadParameter(f"{image!r} is no image reference", param_hint="--konnector-image")
    return image


def _name(name: str) -> str:
    if name and not naming.is_subdomain(name):
        raise click.BadParameter(f"{name!r} is no name of a Secret", param_hint="--secret-name")
    return name
