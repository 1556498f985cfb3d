"""A real service to bind: an operator that gives each `postgresqls` object a database of its own.

It stands on the provider's side and knows nothing of bindings; what makes it bindable are three files in
``manifests/examples/postgres``. Start it with ``python -m bind_agent.devcluster.demo --kubeconfig PATH``.

Belongs here: the operator (`handlers` over `service` over the pure `model`, `plan`, `objects`, `status`,
`scram`), the PostgreSQL server that it can bring along (`server`, `launch`), and its command line; the story
of ``kubectl bind dev demo`` (`tour` and the modules of its name), which runs the operator as a process of its
own, like every other program. Needs the extra ``demo``: kopf, psycopg and the server wheel are imported
inside this package only.

Does not belong here: anything the product itself needs. Only the command ``demo`` imports this package, when
it is called.
"""
