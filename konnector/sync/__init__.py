"""The sync engine: pure decisions and the thin shells that execute them.

Pure: ``model`` (data), ``essence`` (what counts as content), ``ownership`` (whose is it), ``plan`` and
``claim_plan`` (what to do). Shells: ``objects`` (bound objects), ``claims`` (claimed Secrets and ConfigMaps),
``namespaces`` (which namespace is which), ``recent`` (own writes that the watch has not shown yet).
"""
