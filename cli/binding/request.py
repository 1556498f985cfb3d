"""The request for an API: checked completely before anything is sent. Pure.

What cannot work is refused here with the rule and the next step: another kind or version, built-in
kinds, names beyond the limits of Kubernetes, fields of the wrong type, documents too large for an API
server.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from bind_agent.api import keys
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.guards import CLAIMABLE
from bind_agent.api.meta import Object
from bind_agent.api.naming import (
    LABEL_LIMIT,
    SUBDOMAIN_LIMIT,
    is_protected_group,
    is_resource,
    is_subdomain,
)
from cli.binding.claims import ClaimError, parse_claim, refusals
from cli.errors import UsageError
from cli.output import inert

MAX_BYTES: Final = 1024 * 1024
"""Greatest size of a request document. API servers store about 1.5 MiB; a request needs a few kilobytes."""

MAX_RESOURCES: Final = 64
MAX_CLAIMS: Final = 64
_SHOW = "see `kubectl bind apiservice --help` for an example"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One API that is asked for.

    Attributes:
        group: its API group.
        plural: its plural resource name.
        claims: the claims that the request lists; what counts is what the provider's export says.
    """

    group: str
    plural: str
    claims: tuple[PermissionClaim, ...] = ()

    @property
    def name(self) -> str:
        """Name of the export, the binding and the CRD: ``P.G``."""
        return f"{self.plural}.{self.group}"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A checked APIServiceExportRequest.

    Attributes:
        name: its wanted name; empty when the server is to choose one.
        spec: as it is sent.
        wanted: the APIs in it.
    """

    name: str
    spec: Mapping[str, Any]
    wanted: tuple[Wanted, ...]

    def manifest(self, *, name: str = "", generate_name: str = "") -> Object:
        """The object to create, named or with a prefix for a generated name."""
        metadata = {"name": name} if name else {"generateName": generate_name}
        return {
            "apiVersion": keys.API_VERSION,
            "kind": keys.KIND_EXPORT_REQUEST,
            "metadata": metadata,
            "spec": dict(self.spec),
        }


class _Loader(yaml.SafeLoader):
    """Plain YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not accepted", None)
        return super().compose_node(parent, index)


def parse_request(data: bytes, *, origin: str, claimable: Collection[str] = CLAIMABLE) -> ExportRequest:
    """Read and check a request document (JSON or YAML).

    Args:
        data: the document.
        origin: where it comes from, for messages.
        claimable: group resources that may be claimed.

    Raises:
        UsageError: it is not a request that could work; the message names the field and the rule.
    """
    origin = inert(origin)
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{origin} is larger than {MAX_BYTES // 1024} KiB",
            next_step="a request only names APIs and claims; leave everything else out",
        )
    try:
        documents = [document for document in yaml.load_all(data, _Loader) if document is not None]
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        where = getattr(getattr(error, "problem_mark", None), "line", None)
        line = "" if where is None else f" (line {where + 1})"
        raise UsageError(f"{origin} is neither JSON nor YAML{line}", next_step=_SHOW) from None
    if not documents:
        raise UsageError(f"{origin} is empty; a request is needed", next_step=_SHOW)
    if len(documents) != 1:
        raise UsageError(
            f"{origin} holds {len(documents)} documents; one is needed",
            next_step="bind one request at a time; a request may name several APIs",
        )
    return check_request(documents[0], origin=origin, claimable=claimable)


def check_request(document: Any, *, origin: str, claimable: Collection[str] = CLAIMABLE) -> ExportRequest:
    """Check a decoded request.

    Args:
        document: plain data of JSON or YAML.
        origin: where it comes from, for messages; harmless text.
        claimable: group resources that may be claimed.

    Raises:
        UsageError: it is not a request that could work; the message names the field and the rule.
    """
    if not isinstance(document, dict):
        raise UsageError(f"{origin} is not an object", next_step=_SHOW)
    kind = (document.get("apiVersion"), document.get("kind"))
    if kind != (keys.API_VERSION, keys.KIND_EXPORT_REQUEST):
        raise UsageError(
            f"{origin} is {inert(kind[1] or 'no kind')} of {inert(kind[0] or 'no apiVersion')}; "
            f"needed is {keys.KIND_EXPORT_REQUEST} of {keys.API_VERSION}",
            next_step=_SHOW,
        )
    metadata = document.get("metadata") or {}
    name = (metadata.get("name") if isinstance(metadata, dict) else None) or ""
    if not isinstance(metadata, dict) or not isinstance(name, str) or not is_subdomain(name or "unnamed"):
        raise UsageError(
            f"{origin}: metadata.name {inert(name)!r} is not a name",
            next_step="use lower-case letters, digits, - and ., at most 253 characters",
        )
    spec = document.get("spec")
    resources = spec.get("resources") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(resources, list) or not resources:
        raise UsageError(f"{origin}: spec.resources must list at least one API", next_step=_SHOW)
    if unknown := sorted(str(key) for key in set(spec) - {"resources", "parameters"}):
        raise UsageError(f"{origin}: spec has unknown fields: {inert(', '.join(unknown))}", next_step=_SHOW)
    if len(resources) > MAX_RESOURCES:
        raise UsageError(f"{origin}: spec.resources lists more than {MAX_RESOURCES} APIs")
    wanted = tuple(
        _wanted(entry, f"{origin}: spec.resources[{index}]", claimable)
        for index, entry in enumerate(resources)
    )
    names = [one.name for one in wanted]
    if double := sorted({one for one in names if names.count(one) > 1}):
        raise UsageError(f"{origin}: spec.resources lists {', '.join(double)} more than once")
    try:
        # Times, sets and other YAML values have no place in an API object.
        json.dumps(spec, allow_nan=False)
    except (TypeError, ValueError):
        raise UsageError(
            f"{origin}: spec holds values that JSON does not know",
            next_step="write dates and the like in quotes",
        ) from None
    return ExportRequest(name=name, spec=spec, wanted=wanted)


def _wanted(entry: Any, where: str, claimable: Collection[str]) -> Wanted:
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is not an object", next_step=_SHOW)
    if unknown := sorted(
        str(key) for key in set(entry) - {"group", "resource", "versions", "permissionClaims"}
    ):
        raise UsageError(f"{where} has unknown fields: {inert(', '.join(unknown))}", next_step=_SHOW)
    group, plural = entry.get("group") or "", entry.get("resource") or ""
    if not isinstance(group, str) or not isinstance(plural, str):
        raise UsageError(f"{where}: group and resource must be text", next_step=_SHOW)
    check_bindable(group, plural, where=where)
    versions = entry.get("versions") or []
    if not isinstance(versions, list) or not all(isinstance(version, str) for version in versions):
        raise UsageError(f"{where}.versions must be a list of texts", next_step=_SHOW)
    raw_claims = entry.get("permissionClaims") or []
    if not isinstance(raw_claims, list) or len(raw_claims) > MAX_CLAIMS:
        raise UsageError(f"{where}.permissionClaims must be a list of at most {MAX_CLAIMS} claims")
    try:
        claims = [
            parse_claim(claim, f"{where}.permissionClaims[{index}]") for index, claim in enumerate(raw_claims)
        ]
    except ClaimError as error:
        raise UsageError(str(error), next_step=_SHOW) from None
    if fatal := refusals(claims, claimable)[0]:
        raise UsageError(f"{where}: {inert('; '.join(fatal))}", next_step="leave these claims out")
    return Wanted(group, plural, tuple(claims))


def check_bindable(group: str, plural: str, *, where: str) -> None:
    """Refuse what cannot be bound as a custom resource of the provider.

    Raises:
        UsageError: naming the rule: built-in or own group, not a name, too long.
    """
    if not plural:
        raise UsageError(f"{where} names no resource", next_step=_SHOW)
    if not group:
        raise UsageError(
            f"{where}: {inert(plural, limit=80)} has no group; kinds without one are built into Kubernetes and"
            " cannot be bound",
            next_step="name group and resource of a custom resource, for instance example.com and databases",
        )
    shown = f"{inert(plural, limit=80)}.{inert(group, limit=80)}"
    if is_protected_group(group):
        raise UsageError(
            f"{where}: {shown} is built into Kubernetes or reserved for it and cannot be bound",
            next_step="name the API group of a custom resource, for instance example.com",
        )
    if group == keys.GROUP or group.endswith(f".{keys.GROUP}"):
        raise UsageError(f"{where}: the kinds of the binding itself cannot be bound")
    if len(f"{plural}.{group}") > SUBDOMAIN_LIMIT or len(plural) > LABEL_LIMIT:
        raise UsageError(
            f"{where}: {shown} is too long",
            next_step="a resource has at most 63 characters, and RESOURCE.GROUP at most 253",
        )
    if not is_resource(plural) or not is_subdomain(group):
        raise UsageError(
            f"{where}: {shown} is not the name of a resource",
            next_step="use a lower-case plural and a group whose dots stand between its parts",
        )
