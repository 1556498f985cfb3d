"""Every fixed name of the example service: the API, its marks, and the objects that it writes."""

from typing import Final

GROUP: Final = "databases.example.com"
"""``example.com`` is reserved for examples (RFC 2606), so the group can belong to nobody else."""

VERSION: Final = "v1"
PLURAL: Final = "postgresqls"
KIND: Final = "PostgreSQL"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FINALIZER: Final = f"{GROUP}/database"
"""Holds an object until its database and role are gone."""

CLAIM_LABEL: Final = f"{GROUP}/claim"
"""Label on the credentials Secret. The template claims Secrets by it, so all others stay where they are."""

CLAIM_CREDENTIALS: Final = "credentials"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
NAME_LABEL: Final = "app.kubernetes.io/name"
OPERATOR: Final = "postgresql-operator"
SERVICE: Final = "postgresql"
