"""The web half of the backend: what browsers and the CLI see of a provider (spec 4.3, 4.4).

Read `app` (routes and what stands around every handler), then `login` (who somebody is) and `bind` (what they
get). Pure: `redirects`, `keyring`, `flowstate`, `headers`, `addresses`. Does not belong here: how an issuer is
talked to (`backend.oidc`), what pages look like (`backend.pages`), what a tenant is (`backend.tenancy`).

Nothing about a login is kept in memory, so any replica can go on where another one stopped: what has to be
remembered travels sealed through the browser, and what may happen once only is claimed by creating a Lease.
"""
