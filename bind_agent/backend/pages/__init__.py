"""What people see of a backend: catalogue, own clusters, the operators' view.

Belongs here: view models (pure functions from cluster objects to what a page says), templates, the one style
sheet, the vendored htmx, and the handlers of these pages. Text of provider and consumers is hostile here: view
models strip control and bidirectional characters, templates escape (threats A39, A58).

Does not belong here: login, sessions, cookies, headers (`bind_agent.backend.http`, `bind_agent.backend.oidc`),
and what changes a cluster (`bind_agent.backend.tenancy`).
"""
