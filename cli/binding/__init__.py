"""Binding one API into an app cluster, step by step.

``request`` reads and checks what is asked for, ``claims`` and ``consent`` settle what may be copied,
``provider`` and ``consumer`` talk to the two sides, ``install`` brings the konnector, and ``flow`` holds the
order. Nothing here knows about options or click.
"""
