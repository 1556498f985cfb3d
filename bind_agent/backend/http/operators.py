"""Who sees the operators' pages: pure."""

from bind_agent.backend.allowed import in_group, is_user
from bind_agent.backend.options.web import WebOptions
from bind_agent.backend.person import Person


def is_operator(options: WebOptions, person: Person) -> bool:
    """Whether a person is named by `--admin-user` or in a group of `--admin-group`."""
    return is_user(person, options.admin_users) or in_group(person, options.admin_groups)
