"""The sync engine: pure decisions and the thin shells that execute them.

Pure, for bound objects: ``model`` (data), ``essence`` and ``metadata`` (what counts as content), ``copies`` (the
object of the other side), ``ownership`` (whose is it), ``placement`` (where it belongs), ``plan`` (what to do),
``brake`` (mass deletion). Pure, for claimed objects: ``claim_model``, ``claim_copy``, ``claim_plan``.
Shells: ``objects`` and ``execution``, ``claims``, ``namespaces`` (which namespace is which), ``recent`` (own writes
that the watch has not shown yet), ``reports`` (what is refused). ``patience`` and ``remedies`` say when and how a
hindrance is told.
"""
