"""What a konnector is told about kinds that may be claimed (``--allow-claim``), seen in its arguments. Pure."""

import json
import shlex
from collections.abc import Collection, Sequence
from itertools import pairwise

from bind_agent import claim_flag
from bind_agent.api import keys
from cli.output import inert


def with_claims(arguments: Sequence[str], claimable: Collection[str]) -> tuple[str, ...]:
    """The arguments with what is missing for these kinds; nothing that the konnector was told before is lost."""
    return (*arguments, *claim_flag.arguments(set(claimable) - _allowed(arguments)))


def lacking(arguments: Sequence[str], claimed: Collection[str], *, present: bool) -> str:
    """What to do about accepted claims that the konnector was not told to allow; empty when there are none.

    Args:
        arguments: what the konnector is started with.
        claimed: group resources of accepted claims.
        present: whether there is a Deployment of it that can be told.
    """
    kinds = sorted(set(claimed) - _allowed(arguments))
    if not kinds:
        return ""
    flags = " ".join(claim_flag.arguments(kinds))
    what = f"the konnector copies {inert(', '.join(kinds))} only when it runs with {inert(flags)}"
    if not present:
        return what
    wanted = json.dumps(with_claims(arguments, kinds))
    change = f'[{{"op":"add","path":"/spec/template/spec/containers/0/args","value":{wanted}}}]'
    return (
        f"{what}; one of ours is told so by: kubectl patch deployment {keys.KONNECTOR} -n {keys.CONSUMER_NAMESPACE}"
        f" --type=json -p {inert(shlex.quote(change), limit=4000)}"
    )


def _allowed(arguments: Sequence[str]) -> frozenset[str]:
    """What a konnector with these arguments lets be claimed."""
    flag = claim_flag.FLAG
    joined = {one.removeprefix(f"{flag}=") for one in arguments if one.startswith(f"{flag}=")}
    apart = {value for one, value in pairwise(arguments) if one == flag}
    return claim_flag.claimable(joined | apart)
