"""The backend's controllers: export request, export, service namespace, cluster binding.

Each has two modules. `<kind>_plan` is pure: what was observed goes in, what is to be done comes out, time is
an argument. `<kind>` is the shell around it: it reads stores, executes the plan and writes the status.

Does not belong here: rules that several controllers share (`bind_agent.backend`), credentials
(`bind_agent.backend.tenancy`).
"""
