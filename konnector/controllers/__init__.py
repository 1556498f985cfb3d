"""The controllers of the konnector, one verb each.

``binding_status`` writes conditions of bindings (the only writer of them); ``heartbeat`` reports to the provider
and takes rotated credentials over; ``schema`` brings exports to the app cluster as CRDs (``crds`` watches these);
``exports`` starts and stops the sync of each resource and reports on the export; ``claims`` does so for claimed
kinds; ``troubles`` says what keeps a binding from being followed. Pure: ``shape`` (what is synced for which
binding) and ``export_status``. The sync of objects itself is in ``konnector.sync``.
"""
