"""What is said about a refusal whose words may quote content: our own text, nothing of the server's.  Pure.

Whoever refuses a request has seen its body.  Validation quotes the value that it dislikes, an admission
webhook or policy says whatever its author thought helpful, and a server that is not trusted says what it
likes.  Such text would go on into logs, into conditions, and into events, which more people may read than may
read Secrets.  So of an answer about Secrets or tokens only facts are kept that cannot carry a value: the code,
a reason that Kubernetes knows, paths of fields of the usual form, and whether the text has one of a few
well-known forms; verb, kind, namespace and name are those that we asked for.

The same is not done for other kinds.  The specification of a bound object can hold a password that its author
put there, and a ConfigMap can; but the server's words are the only ones that say which field is wrong.  They
are told in an event beside that object and in the log; into the conditions of a binding goes what is said of
rights, credentials and availability only.  Values belong into Secrets.
"""

import re
from collections.abc import Iterable
from typing import Final

from bind_agent.api.refusals import known_reason
from bind_agent.kube.asked import Asked

_MAX_FIELDS: Final = 8

# What an API server says when authorization, of whatever kind, does not allow a request.
_RIGHT: Final = re.compile(
    r'(?:[a-z0-9./-]{1,320}(?: "[^"]{1,253}")? is forbidden: )?'
    r'User "[^"]{0,1024}" cannot (?P<verb>[a-z]{1,32}) resource "(?P<endpoint>[a-z0-9./-]{1,320})"'
    r' in API group "(?P<group>[a-z0-9.-]{0,253})"'
    r' (?:in the namespace "(?P<namespace>[a-z0-9-]{1,63})"|at the cluster scope)(?:: .*)?',
    re.DOTALL,
)
# Authorization asks for the verb of the HTTP method, and a second time for `create` when there is nothing yet.
_VERBS: Final = {"apply": {"patch", "create"}, "update": {"update", "create"}}

# A field of a Secret: one of the names that all Secrets share, and at most one key.
_FIELD: Final = re.compile(
    r"(?:data|stringData|type|immutable|apiVersion|kind"
    r"|metadata(?:\.(?:name|namespace|uid|resourceVersion|labels|annotations|finalizers|ownerReferences))?)"
    r"(?:\[[A-Za-z0-9._/-]{1,128}\])?"
)

# Only whether the words occur matters; the sentence is ours.
_WELL_KNOWN: Final = (
    ("exceeded quota", "a quota there is used up"),
    ("is being terminated", "the namespace is being deleted"),
    ("too large", "it is too large for that server"),
)


def is_missing_right(message: str, asked: Asked) -> bool:
    """Whether a 403 has the form in which an API server says that a right is missing for just this request.

    Any other 403 comes from admission: a policy, a webhook, a quota, a namespace that is being deleted.
    """
    found = _RIGHT.fullmatch(message)
    if found is None:
        return False
    # A namespace itself is asked about as something inside it.
    inside = {asked.namespace, asked.name} if asked.resource.plural == "namespaces" else {asked.namespace}
    return (
        found["verb"] in _VERBS.get(asked.verb, {asked.verb})
        and found["endpoint"] == asked.endpoint
        and found["group"] == asked.resource.group
        and (found["namespace"] or "") in inside
    )


def message(  # noqa: PLR0911 - a table
    asked: Asked | None, *, code: int, reason: str, said: str, fields: Iterable[str], right: bool
) -> str:
    """A message that quotes nothing.

    Args:
        asked: the request, where it is known.
        code: HTTP status.
        reason: the server's reason word.
        said: the server's message.
        fields: paths that the server complains about.
        right: as `is_missing_right` found.

    Returns:
        A sentence for logs, events and conditions.
    """
    what = asked.what if asked else "do this"
    word = known_reason(reason)
    if code == 401:
        return "the server does not accept the credential"
    if code == 403 and right:
        return f"cannot {what}: no role allows it"
    if code == 404 and asked:
        return f"{asked.object} not found"
    if code == 409:
        return f"{asked.object if asked else 'it'} " + (
            "already exists" if word == "AlreadyExists" else "was changed or replaced meanwhile"
        )
    for words, sentence in _WELL_KNOWN:
        if words in said:
            return f"cannot {what}: {sentence}"
    if code in {400, 422}:
        kind = (asked.resource.kind if asked else "") or "Secret"
        known = [field for field in fields if _FIELD.fullmatch(field)][:_MAX_FIELDS]
        named = ": " + ", ".join(known) if known else ""
        return f"the server refuses this {kind} ({word or 'no known reason'}{named}); its words may quote it"
    verb = "fails to" if code >= 500 else "refuses to"
    look = "its log" if code >= 500 else "its audit log and admission policies"
    return f"the server {verb} {what}; its words are withheld, as they may quote content: see {look}"
