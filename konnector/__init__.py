"""The konnector: runs on an app cluster, mirrors bound objects up, brings status and claimed objects down.

Belongs here: bindings and provider sessions (``hub``, ``session``), the controllers of one session
(``controllers``), the sync engine (``sync``: pure decisions and their thin shells) and the conversion of
exports to CRDs (``schema``). Does not belong here: anything that talks HTTP by itself (``bind_agent.kube``),
informers and queues (``bind_agent.runtime``), names and wire types (``bind_agent.api``).
"""
