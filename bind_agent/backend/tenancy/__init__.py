"""Tenants: a namespace per person and app cluster, what stands in it, and the credential that leaves it.

Belongs here: identities and namespace names (`identity`), the kubeconfig that is handed out and the address
in it (`kubeconfig`, `address`), the life of tokens (`rotation` decides, `credentials` executes), provisioning
and revoking (`provision`, `revoke`).

Does not belong here: what a tenant may do with exported kinds (`bind_agent.backend.access`), who a person is
(the web half will know).
"""
