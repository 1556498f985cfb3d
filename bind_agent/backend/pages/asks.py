"""What a person is asked before something changes, and told afterwards: pure words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bind_agent.backend.pages import links
from bind_agent.backend.pages.clusters import Api, Cluster
from bind_agent.backend.pages.times import length

ROTATE: Final = "rotate"
REVOKE: Final = "revoke"
UNBIND: Final = "unbind"
KEEP: Final = "keep"

GRACES: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}
"""How long an API goes on after a person unbinds it."""

PROPOSED: Final = "1d"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with two answers.

    Attributes:
        title: the question.
        message: what it is about.
        effects: what happens on yes, one sentence each.
        action: where the form goes.
        back: where no leads.
        back_text: its words.
        button: the words of yes.
        dangerous: whether yes cannot be taken back.
        choices: values and words of what is to be chosen along with yes.
        proposed: the value that is chosen unless the person chooses another one.
        choice: what is chosen, in words; empty when there are no choices.
    """

    title: str
    message: str
    effects: tuple[str, ...]
    action: str
    back: str
    back_text: str
    button: str
    dangerous: bool
    choices: tuple[tuple[str, str], ...] = ()
    proposed: str = ""
    choice: str = ""


def rotate(cluster: Cluster, overlap: timedelta) -> Ask:
    """Before a new credential is issued."""
    return Ask(
        title="Rotate the credential?",
        message=f"The cluster {_name(cluster)} gets a new credential now.",
        effects=(
            "A konnector that is connected takes the new one over by itself; nothing stops.",
            f"The old one works for another {length(overlap)}, then it ends.",
            "A konnector that is cut off for longer than that has to be bound again.",
        ),
        action=links.change(cluster.namespace, ROTATE),
        back=links.cluster(cluster.namespace),
        back_text=_name(cluster),
        button="Rotate now",
        dangerous=False,
    )


def revoke(cluster: Cluster) -> Ask:
    """Before all credentials of a cluster end."""
    return Ask(
        title="Revoke all credentials?",
        message=f"Every credential of the cluster {_name(cluster)} ends at once.",
        effects=(
            "Its konnector loses the connection: nothing is synced any more.",
            "Services and their data stay as they are.",
            "Requests may still get through for some seconds, an open watch for up to ten minutes.",
            "To come back, bind an API again on the command line; that issues a new credential.",
        ),
        action=links.change(cluster.namespace, REVOKE),
        back=links.cluster(cluster.namespace),
        back_text=_name(cluster),
        button="Revoke",
        dangerous=True,
    )


def unbind(cluster: Cluster, api: Api) -> Ask:
    """Before an API is taken off a cluster."""
    return Ask(
        title=f"Unbind {api.kind}?",
        message=f"The cluster {_name(cluster)} is to lose the API {api.name}.",
        effects=(
            "The binding on the cluster says at once when the API ends.",
            "Until then everything works, and you can change your mind on these pages.",
            f"Before that time, save what you need, then delete your {api.kind} objects and the binding on the"
            " cluster: what you delete then is deleted on the provider's side as well.",
            "After that time the provider syncs nothing of this API any more. What is left on its side stays"
            " there until the platform team removes it.",
        ),
        action=links.unbind(cluster.namespace, api.name),
        back=links.cluster(cluster.namespace),
        back_text=_name(cluster),
        button=f"Unbind {api.kind}",
        dangerous=True,
        choices=tuple((word, f"in {length(grace)}") for word, grace in GRACES.items()),
        proposed=PROPOSED,
        choice="It ends",
    )


def keep(cluster: Cluster, api: Api) -> Ask:
    """Before the end of an API is taken back."""
    return Ask(
        title=f"Keep {api.kind}?",
        message=f"The API {api.name} on the cluster {_name(cluster)} ends {api.ends.words if api.ends else 'soon'}.",
        effects=("It stays bound, as if you had never unbound it.",),
        action=links.keep(cluster.namespace, api.name),
        back=links.cluster(cluster.namespace),
        back_text=_name(cluster),
        button=f"Keep {api.kind}",
        dangerous=False,
    )


DONE: Final[Mapping[str, str]] = {
    ROTATE: "A new credential is in force. The old one ends a little later.",
    REVOKE: "All credentials of this cluster have ended.",
    UNBIND: "The API will be taken off this cluster. Its binding there says until when it works.",
    KEEP: "The API stays.",
}
"""What is said afterwards, by what was done (`notices`)."""


def _name(cluster: Cluster) -> str:
    return cluster.cluster_id or cluster.namespace
