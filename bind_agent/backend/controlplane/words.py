"""Condition words of AppClusterBindings that only this backend writes; the shared ones are in the catalogue."""

# ruff: noqa: S105 - words about Secrets, none of which is one

from typing import Final

APIS_BOUND: Final = "APIsBound"
"""Each API of the AppClusterBinding has its binding and its export."""

BINDINGS_READY: Final = "BindingsReady"
"""A konnector says on each of these bindings that it works, and is still heard of."""

KONNECTOR_AVAILABLE: Final = "KonnectorAvailable"
"""The deployed konnector's pods run; True as well where none is deployed."""

KONNECTOR_UNAVAILABLE: Final = "KonnectorUnavailable"
NOT_READY: Final = "NotReady"
SECRET_NAMESPACE_NOT_ALLOWED: Final = "SecretNamespaceNotAllowed"
ROOT_NAMESPACE_TAKEN: Final = "NamespaceConflict"
ROOT_NAMESPACE_LEAVING: Final = "NamespaceTerminating"
CLAIM_POLICY_INVALID: Final = "ClaimPolicyInvalid"
BINDING_CONFLICT: Final = "BindingConflict"
REQUEST_FAILED: Final = "RequestFailed"
WRITE_FAILED: Final = "WriteFailed"
DELETING: Final = "Deleting"
LEGACY_ROLE_REMAINS: Final = "LegacyRoleRemains"
SPEC_INVALID: Final = "SpecInvalid"
