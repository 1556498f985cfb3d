"""Small pieces of asyncio that could live as a library of their own.

Belongs here: clocks, back-off with jitter, single flight, helpers for task groups. Standard library only.

Does not belong here: anything that knows Kubernetes, HTTP, metrics or logging.
"""
