"""The CRD that a binding wants on the app cluster (spec 3.10.4)."""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import keys
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.conversion import InvalidExport, to_crd
from bind_agent.api.decoding import decode
from bind_agent.api.export import Export
from bind_agent.api.meta import Object
from bind_agent.api.validation import InvalidObject
from konnector.schema.owner import signature
from konnector.sync import essence


class SchemaError(ValueError):
    """No CRD can be made of an export.

    Attributes:
        reason: word of the condition catalogue.
        message: what is wrong and what to do, fit for a condition.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep reason and message apart."""
        super().__init__(message)
        self.reason = reason
        self.message = message


def desired_crd(export: Mapping[str, Any], binding: Mapping[str, Any], *, control_plane: str = "") -> Object:
    """Make the CRD of an export, signed for its binding.

    Of a binding on the app cluster the owner reference is always there, because Go konnectors know their CRDs by it
    (spec 6.6.3); the garbage collector follows it only when the binding is cluster-scoped. A digest of the spec is
    noted in an annotation, so that a later export that only leaves something out is noticed.

    Args:
        export: the APIServiceExport as the provider returned it.
        binding: the APIServiceBinding of the same name; the name is what ties the two together (spec 3.4).
        control_plane: identity of the cluster that holds the binding, when that is not the app cluster.

    Raises:
        SchemaError: malformed, of a protected group, too large or too deep.
    """
    try:
        crd = to_crd(decode(Export, export))
        crd["metadata"] |= signature(binding, control_plane=control_plane)
    except (InvalidObject, InvalidExport) as error:
        raise SchemaError(
            Reason.EXPORT_INVALID, f"{error}; the provider has to correct the export"
        ) from error
    # Conversion is said outright: an existing CRD must not keep a webhook (threats A35).
    crd["spec"]["conversion"] = {"strategy": "None"}
    marks = crd["metadata"].get("annotations", {})
    crd["metadata"]["annotations"] = {keys.CONTENT_DIGEST: essence.digest(crd["spec"]), **marks}
    return crd
