"""Between CRDs and exports (spec 3.10.3 and 3.10.4). Pure: plain data in, plain data out.

Belongs here: what of a CRD an export carries, its hash, and the CRD that a consumer gets from it.

Does not belong here: comparing a new schema with an old one, and deciding whether a CRD may be written.
"""

from bind_agent.api.conversion.from_crd import InvalidCRD, crd_part, export_spec, spec_hash
from bind_agent.api.conversion.to_crd import InvalidExport, binding_owner, to_crd

__all__ = [
    "InvalidCRD",
    "InvalidExport",
    "binding_owner",
    "crd_part",
    "export_spec",
    "spec_hash",
    "to_crd",
]
