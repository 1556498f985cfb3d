"""What an operator sees of a running program: logs, metrics and, where installed, traces.

Belongs here: setting up logging, redaction at the sink, the type that keeps a secret value out of texts, and
the names of all metrics in one file.

Does not belong here: Kubernetes Events and conditions (they are API objects), and anything that decides.
"""
