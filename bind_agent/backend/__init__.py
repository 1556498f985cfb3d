"""The backend: turns a control plane cluster into a provider of APIs.

Belongs here: the program `bind-backend` (`app`, `options`, `serve`, `commands/`), its controllers
(`controllers/`), tenants and their credentials (`tenancy/`), and the pure rules that both stand on: which
template counts (`templates`), what a claim may ask for (`claims`), what a tenant may do (`access`), how an
export follows its CRD (`exports`).

Does not belong here: talking to API servers (`bind_agent.kube`), watching and queueing
(`bind_agent.runtime`), anything that runs on an app cluster (`konnector`).
"""
