"""Control plane mode: app clusters that the provider's operator connects with an AppClusterBinding (spec 5).

Belongs here: what an AppClusterBinding asks for (`model`), the objects that answer it (`objects`, `deployment`,
`overrides`), the decisions about its Secret, its APIs, its claims and its end (`secret_plan`, `apis_plan`,
`claims_policy`, `leaving_plan`; all of them pure), and the shell that observes and executes (`controller` with
`root`, `apis`, `workload`, `watches`, `mode`).

Does not belong here: requests, exports, service namespaces and rights of a root namespace. It is a tenant's
namespace like any other, and `bind_agent.backend.controllers` looks after it.
"""
