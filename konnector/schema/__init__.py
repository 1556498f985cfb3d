"""From a provider's export to the CRD on the app cluster: pure decisions (design 4.6).

Belongs here: which CRD is wanted (``crd``), whether and how an existing one becomes it (``compare``), and
which changes of a schema would harm objects that are stored (``breaking``).

Does not belong here: reading and writing CRDs (``konnector.controllers.schema``), and what an export is
(``bind_agent.api``).
"""
