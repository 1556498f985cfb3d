"""The controllers of the konnector, one verb each.

``binding_status`` writes conditions of bindings (the only writer of them); ``heartbeat`` reports to the provider
and takes rotated credentials over; ``schema`` brings exports to the app cluster as CRDs; ``exports`` starts and
stops the sync of each resource and reports on the export; ``namespaces`` ends mappings of namespaces that are gone.
The sync of objects itself is in ``konnector.sync``.
"""
