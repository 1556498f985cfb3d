"""A real service to bind: an operator that gives each `postgresqls` object a database of its own.

It stands on the provider's side and knows nothing of bindings; what makes it bindable are three files in
``manifests/examples/postgres``. Start it with ``python -m bind_agent.devcluster.demo --kubeconfig PATH``.

Belongs here: the operator (`handlers` over `service` over the pure `model`, `plan`, `objects`, `status`,
`scram`), the PostgreSQL server that it can bring along (`server`, `launch`), and its command line. Needs the
extra ``demo``: kopf, psycopg and the server wheel are imported inside this package only.

Does not belong here: the steps of the demonstration, and anything the product itself needs; nothing imports
this package, it runs as a process of its own.
"""
