"""The development issuer: a small OpenID Connect provider for one laptop (`kubectl bind dev up --login`).

Belongs here: what the authorization code flow with PKCE needs, for clients and browsers on this machine: `people`
(who can log in), `grants` (codes and what they are good for), `signing` (the key, ID tokens), `pages`, `app` (the
server). It runs as a program of its own, `python -m bind_agent.devcluster.issuer`, and ends with the playground.

Does not belong here: passwords. Whoever reaches it is whoever they say, so it listens on the loopback address
only, answers to that name only, and sends codes to loopback addresses only. Nothing beyond development may trust it.
"""
