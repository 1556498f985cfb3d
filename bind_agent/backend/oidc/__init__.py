"""Login with OpenID Connect: the authorization code flow of a confidential or public client, with PKCE (spec 4.4).

Belongs here: everything that is said to the issuer and everything that is believed of it. Pure: `config`,
`metadata` (the discovery document), `keys` (the JSON Web Key Set), `flow` (PKCE, nonce, the address to send a
browser to), `idtoken` (what has to hold for an ID token), `claims` (a person from claims). Shells: `fetch`
(bounded HTTP), `discovery` (metadata and keys, cached and refreshed), `exchange` (token and userinfo endpoints),
`client` (what the web half uses). `errors` says how a login can fail.

Does not belong here: cookies, state and sessions, pages, which person may do what. Nothing here is reached by an
address that a visitor chose: the issuer comes from the configuration, its endpoints from the issuer (threats A56).
"""
