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
    """

    title: str
    message: str
    effects: tuple[str, ...]
    action: str
    back: str
    back_text: str
    button: str
    dangerous: bool


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


def unbind(cluster: Cluster, api: Api, grace: timedelta) -> Ask:
    """Before an API is taken off a cluster."""
    return Ask(
        title=f"Unbind {api.kind}?",
        message=f"The cluster {_name(cluster)} is to lose the API {api.name}.",
        effects=(
            f"The binding on the cluster is told at once that the API ends in {length(grace)}.",
            f"Until then everything works; save what you need of your {api.kind} objects.",
            "After that the API is no longer exported to the cluster, and its objects are not synced any more.",
            "To remove it from the cluster itself, use kubectl bind on the cluster.",
        ),
        action=links.unbind(cluster.namespace, api.name),
        back=links.cluster(cluster.namespace),
        back_text=_name(cluster),
        button=f"Unbind {api.kind}",
        dangerous=True,
    )


DONE: Final[Mapping[str, str]] = {
    ROTATE: "A new credential is in force. The old one ends a little later.",
    REVOKE: "All credentials of this cluster have ended.",
    UNBIND: "The API is being taken off this cluster. Its binding there says until when it works.",
}
"""What is said afterwards, by the word in the address; other words say nothing."""


def _name(cluster: Cluster) -> str:
    return cluster.cluster_id or cluster.namespace
