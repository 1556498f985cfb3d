"""What the server allows us: access reviews; and tokens for service accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api.resource import Resource
from bind_agent.kube.codec import Object
from bind_agent.kube.errors import MalformedAnswer, clean

SELF_SUBJECT_ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False, kind="SelfSubjectAccessReview"
)


@dataclass(frozen=True, slots=True)
class AccessReview:
    """Answer to "may I?".

    Attributes:
        allowed: whether the request would pass authorization.
        reason: what the authorizer says about it, cleaned; often empty.
    """

    allowed: bool
    reason: str = ""


def access_review(
    *, verb: str, group: str, resource: str, namespace: str = "", name: str = "", subresource: str = ""
) -> Object:
    """A SelfSubjectAccessReview that asks for one verb on one resource."""
    attributes = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "namespace": namespace,
        "name": name,
        "subresource": subresource,
    }
    return {
        "apiVersion": SELF_SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": SELF_SUBJECT_ACCESS_REVIEWS.kind,
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }


def read_access_review(answer: Object) -> AccessReview:
    """The verdict of an answered review.

    Raises:
        MalformedAnswer: there is no verdict in it.
    """
    status = answer.get("status")
    allowed = status.get("allowed") if isinstance(status, dict) else None
    if not isinstance(status, dict) or not isinstance(allowed, bool):
        raise MalformedAnswer("the access review came back without a verdict")
    reason = status.get("reason") or status.get("evaluationError") or ""
    return AccessReview(
        allowed and status.get("denied") is not True, clean(reason) if isinstance(reason, str) else ""
    )


def token_request(
    *, expiration_seconds: int, audiences: Sequence[str] = (), bound_object: Object | None = None
) -> Object:
    """A TokenRequest.

    Args:
        expiration_seconds: wished life; the server takes at least 600 and may shorten it.
        audiences: who the token is for; empty for the API server itself.
        bound_object: reference (kind, apiVersion, name, uid) of an object with which the token dies.
    """
    spec: dict[str, Any] = {"expirationSeconds": expiration_seconds, "audiences": list(audiences)}
    if bound_object:
        spec["boundObjectRef"] = bound_object
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
