"""Settings of the generated cases: no deadline per case, because the machines that run them are shared."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
