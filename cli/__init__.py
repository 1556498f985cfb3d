"""The command line ``kubectl bind``.

Here belongs what a person or a pipeline sees: options, questions, progress, tables, exit codes, and the
order of the steps of each command. Clusters are reached through one adaptor (``cli.kube``) and nothing else
imports its client.

Here does not belong: controllers, informers or anything that keeps running; what is installed into clusters
(it is read from ``manifests/``); rules of the wire (they live in ``bind_agent.api``).
"""
