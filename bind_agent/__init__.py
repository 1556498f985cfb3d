"""What the programs of the product are built from.

``api`` (wire types and rules), ``aio`` and ``obs`` (pieces without Kubernetes), ``kube`` (the one way to an API
server), ``runtime`` (informers, queues, controllers), ``backend`` (the provider's program) and ``devcluster`` (real
clusters on one machine). ``docs/architecture.md`` has the picture. The konnector and the CLI are packages of their
own, ``konnector`` and ``cli``.
"""

from bind_agent._version import __version__

__all__ = ["__version__"]
