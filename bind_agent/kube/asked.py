"""What a request asked for: the part of a failure that is known without believing the answer."""

from typing import NamedTuple

from bind_agent.api.resource import Resource


class Asked(NamedTuple):
    """One request.

    Attributes:
        verb: as API servers call it: get, list, watch, create, update, patch, apply, delete.
        resource: the kind.
        namespace: empty for all namespaces and for cluster-scoped kinds.
        name: of the object; empty for collections, and where the server makes the name up.
        subresource: such as `status`.
    """

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def endpoint(self) -> str:
        """`plural` or `plural/subresource`, as authorization calls it."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural

    @property
    def what(self) -> str:
        """`create secrets in namespace "shop"`."""
        where = f' in namespace "{self.namespace}"' if self.namespace else ""
        endpoint = f"{self.endpoint}.{self.resource.group}" if self.resource.group else self.endpoint
        return f"{self.verb} {endpoint}{where}"

    @property
    def object(self) -> str:
        """`secrets "db"`."""
        return f'{self.resource.group_resource} "{self.name}"' if self.name else self.resource.group_resource
