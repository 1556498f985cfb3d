"""The APIServiceBinding of one API: pure (spec 5.3 step 4).

What it refers to and its labels are kept in line; of the decisions about claims only those of the policy are (see
`claims_policy`).
"""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.backend.controlplane import claims_policy, objects, words
from bind_agent.backend.controlplane.apis_model import Api, CreateBinding, Observed, PatchBinding, Sketch
from bind_agent.backend.controlplane.claims_policy import Policy


def bind(seen: Observed, api: Api, policy: Policy | None, draft: Sketch) -> None:
    """Add the steps for the binding of one API.

    Args:
        seen: what was observed.
        api: the API.
        policy: which claims are accepted; None when that is not known.
        draft: gets steps and troubles.
    """
    present = next((one for one in seen.bindings if meta.name(one) == str(api.kind)), None)
    if present is not None and meta.is_deleting(present):
        draft.waiting.append(api.kind)
        return
    if present is None:
        if api.choice is None:
            draft.not_offered(api)
            return
        settled = claims_policy.settle(policy, api.choice.claims, (), (), allowed=seen.claimable)
        draft.steps.append(
            CreateBinding(objects.binding(seen.wanted, api.kind, settled.entries, settled.annotation))
        )
        return
    spec = present.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    if spec.get("kubeconfigSecretRef", objects.secret_ref(seen.wanted)) != objects.secret_ref(seen.wanted):
        draft.trouble(
            api.kind,
            words.BINDING_CONFLICT,
            f"the binding {seen.wanted.root}/{api.kind} refers to another Secret, which cannot be changed: delete it",
        )
        return
    patch = _binding_patch(seen, api, policy, present, spec)
    if patch:
        head = {"uid": meta.uid(present), "resourceVersion": meta.resource_version(present)}
        patch = {**patch, "metadata": {**patch.get("metadata", {}), **head}}
        draft.steps.append(PatchBinding(str(api.kind), patch))


def _binding_patch(
    seen: Observed, api: Api, policy: Policy | None, present: Object, spec: Mapping[str, Any]
) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    labels = meta.labels(present)
    if changed := {key: value for key, value in seen.wanted.labels.items() if labels.get(key) != value}:
        patch["metadata"] = {"labels": changed}
    if not spec:
        patch["spec"] = {"kubeconfigSecretRef": objects.secret_ref(seen.wanted)}
    if api.choice is None:
        # Nobody knows what is offered; what was decided stays.
        return patch
    found = spec.get("permissionClaims")
    entries = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
    before = meta.annotation(present, keys.ACCEPTED_BY_POLICY)
    settled = claims_policy.settle(
        policy, api.choice.claims, entries, claims_policy.remembered(before), allowed=seen.claimable
    )
    if list(settled.entries) != entries:
        patch["spec"] = {**patch.get("spec", {}), "permissionClaims": [dict(one) for one in settled.entries]}
    if settled.annotation != before:
        patch.setdefault("metadata", {})["annotations"] = {
            keys.ACCEPTED_BY_POLICY: settled.annotation or None
        }
    return patch
