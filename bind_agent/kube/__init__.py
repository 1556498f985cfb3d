"""The only code that talks to an API server.

Here belong: configuration and credentials of a cluster, the connection to it, the verbs (get, list, create,
patch, apply, delete, watch), discovery, access reviews, and errors by meaning.  The `kubernetes` library
gives the configuration and the session; the request path is ours.

Here does not belong: anything that remembers objects, decides what to write, or retries for longer than a
moment (`bind_agent.runtime` and the applications do), and no kind of ours by name.
"""
