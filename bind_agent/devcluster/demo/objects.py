"""The Secret and the ConfigMap of an object: their content, and whose they are. Pure."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.devcluster.demo import names
from bind_agent.devcluster.demo.model import Instance

MAX_PASSWORD = 256


@dataclass(frozen=True, slots=True)
class Address:
    """Where users of a database find the server.

    Attributes:
        sslmode: what libpq calls so: ``disable``, ``prefer``, ``require``, ``verify-full`` ...
    """

    host: str
    port: int
    sslmode: str


@dataclass(frozen=True, slots=True)
class Access:
    """Everything a user of the database needs."""

    address: Address
    database: str
    password: str = field(repr=False)

    @property
    def uri(self) -> str:
        """A connection string of libpq; holds the password."""
        user, password = quote(self.database, safe=""), quote(self.password, safe="")
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        query = urlencode({"sslmode": self.address.sslmode})
        return f"postgresql://{user}:{password}@{host}:{self.address.port}/{user}?{query}"


def read_password(secret: Mapping[str, Any]) -> str:
    """The password of a credentials Secret; empty when it has none that could work."""
    data = secret.get("data")
    encoded = data.get("password") if isinstance(data, Mapping) else None
    if not isinstance(encoded, str):
        return ""
    try:
        password = base64.b64decode(encoded, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password if password.isprintable() and len(password) <= MAX_PASSWORD else ""


def secret(instance: Instance, access: Access) -> Object:
    """The Secret that gives access; the label makes it one that the export template claims."""
    values = {
        "host": access.address.host,
        "port": str(access.address.port),
        "database": access.database,
        "username": access.database,
        "password": access.password,
        "uri": access.uri,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(instance, instance.secret, {names.CLAIM_LABEL: names.CLAIM_CREDENTIALS}),
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def config_map(instance: Instance, address: Address) -> Object:
    """The ConfigMap that tells where the database is, for whoever may not read the Secret."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(instance, instance.config_map, {}),
        "data": {
            "host": address.host,
            "port": str(address.port),
            "database": instance.database,
            "sslmode": address.sslmode,
        },
    }


def difference(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """The merge patch from an object that is ours to the wanted one, empty when nothing is missing.

    Labels and keys of others stay; the patch carries UID and resource version, so it fails on a newer object.
    """
    patch: Object = {}
    have, want = meta.labels(present), meta.labels(wanted)
    if labels := {key: value for key, value in want.items() if have.get(key) != value}:
        patch["metadata"] = {"labels": labels}
    data = present.get("data")
    data = data if isinstance(data, Mapping) else {}
    if changed := {key: value for key, value in wanted["data"].items() if data.get(key) != value}:
        patch["data"] = changed
    if patch:
        patch["metadata"] = {
            **patch.get("metadata", {}),
            "uid": meta.uid(present),
            "resourceVersion": meta.resource_version(present),
        }
    return patch


def _metadata(instance: Instance, name: str, labels: Mapping[str, str]) -> Object:
    return {
        "name": name,
        "namespace": instance.namespace,
        "labels": {names.NAME_LABEL: names.SERVICE, names.MANAGED_BY_LABEL: names.OPERATOR, **labels},
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": instance.name,
                "uid": instance.uid,
                "controller": True,
            }
        ],
    }
