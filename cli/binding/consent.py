"""Asking a person about claims, or taking the answers from ``--accept-claims``.

The answers are read from one reader for the whole run, so that piped answers reach their questions one
by one. End of input is no answer, and no answer is not a yes: the command stops before anything is
created on the app cluster.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TextIO

from bind_agent.api.acceptance import Acceptance, AcceptanceError, UnknownKindError, allowing
from bind_agent.api.claim_words import NEVER
from bind_agent.api.claims import AcceptablePermissionClaim, Breadth, PermissionClaim, breadth, covers
from bind_agent.api.guards import CLAIMABLE
from cli.binding.claims import Answer, Decision, Question, describe, entries, refusals, sort_out
from cli.binding.offering import Offer
from cli.errors import CliError, ExitCode, UsageError
from cli.output import Progress, inert

_YES = frozenset({"y", "yes"})
_NO = frozenset({"n", "no"})


class Policy(Acceptance):
    """The value of ``--accept-claims``."""

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Read ``all``, ``none`` or a comma list of kinds.

        Raises:
            UsageError: an empty entry, or ``all``/``none`` mixed with kinds.
        """
        try:
            found = cls.read(text)
        except AcceptanceError as error:
            what, _, next_step = str(error).partition(": ")
            raise UsageError(what, next_step=next_step) from None
        return cls(found.everything, found.kinds)


class Asker:
    """Puts questions to a person and reads the answers.

    Args:
        stdin: where answers come from; read line by line, by this one reader only (W-C4).
        write: where questions go.
    """

    def __init__(self, stdin: TextIO, write: Callable[[str], object]) -> None:
        self._stdin = stdin
        self._write = write

    def yes(self, question: str) -> bool:
        """Ask until the answer is yes or no.

        Raises:
            CliError: the input ended; exit code 3.
        """
        while True:
            self._write(f"{question} [y/n] ")
            line = self._stdin.readline()
            if not line:
                self._write("\n")
                raise CliError(
                    "no answer: the input ended before the claims were decided",
                    next_step="answer y or n, or decide with --accept-claims=all|none|KIND,...",
                    code=ExitCode.REFUSED,
                )
            answer = line.strip().lower()
            if answer in _YES | _NO:
                return answer in _YES
            question = "Please answer y or n."


def check_listed(policy: Policy | None, offers: Sequence[Offer], *, elsewhere: Collection[str] = ()) -> None:
    """Refuse an ``--accept-claims`` that lists what nobody claims, for all APIs that it is about together.

    Args:
        policy: ``--accept-claims``; None for a person who is asked.
        offers: of the APIs; when one is not certain, a listed kind may be meant for what is not known.
        elsewhere: group resources claimed by APIs that are bound in the same run.

    Raises:
        UsageError: naming the kinds, and what is claimed.
    """
    if policy is None or not all(offer.certain for offer in offers):
        return
    try:
        policy.check({claim.group_resource for offer in offers for claim in offer.claims} | set(elsewhere))
    except UnknownKindError as error:
        raise UsageError(
            inert(error, limit=500), next_step="correct --accept-claims: all, none, or kinds that are claimed"
        ) from None


def check_offered(
    offered: Sequence[PermissionClaim],
    *,
    api: str,
    progress: Progress,
    allowed: Collection[str] = CLAIMABLE,
) -> None:
    """Refuse an API whose claims go beyond what may be asked at all (threat A23).

    Raises:
        CliError: naming the claims and the rule.
    """
    fatal, rejected = refusals(offered, allowed)
    if fatal:
        raise CliError(
            f"{api}: the provider claims what may not be granted: {inert('; '.join(fatal))}",
            next_step="ask the provider to offer the API without these claims",
        )
    for claim in rejected:
        progress.note(
            f"{api}: the optional claim on {inert(claim.group_resource)} cannot be granted; left out"
            f"{inert(allowing(claim))}"
        )


def open_questions(
    policy: Policy | None,
    offered: Sequence[PermissionClaim],
    earlier: Sequence[AcceptablePermissionClaim],
    allowed: Collection[str] = CLAIMABLE,
) -> tuple[list[Decision], list[Question]]:
    """What is decided already, and what is to be decided now.

    ``--accept-claims`` states the whole outcome: with it, earlier answers do not count.
    """
    return sort_out(offered, earlier if policy is None else (), allowed)


def decide(
    questions: Sequence[Question],
    *,
    api: str,
    provider: str,
    policy: Policy | None,
    asker: Asker,
    progress: Progress,
) -> list[Decision]:
    """Decide about claims that were not answered before.

    Args:
        questions: what to decide.
        api: the API that is being bound, ``P.G``.
        provider: what the provider is called.
        policy: ``--accept-claims``; None asks the person.
        asker: asks.
        progress: tells what was decided without asking, in the same words as a question would.

    Returns:
        One decision per question, in order.

    Raises:
        CliError: the input ended (exit code 3).
    """
    decisions = []
    for number, question in enumerate(questions, 1):
        claim = question.claim
        lines = describe(claim, api=api, provider=provider)
        if policy is not None:
            accepted = policy.accepts(claim)
            verdict = "accepted" if accepted else "rejected"
            progress.step(f"{api}: claim {verdict} by --accept-claims: {' '.join(lines[:2])}")
            decisions.append(Decision(claim, accepted, Answer.FLAG))
            continue
        if question.kept is not None:
            form = "a narrower" if covers(claim, question.kept) else "another"
            lines.append(f"You accepted {form} form of this claim before; that stays if you say no now.")
        heading = f"\n{api}: {provider} asks for permission ({number} of {len(questions)})"
        text = "\n".join([heading, *(f"  {line}" for line in [*lines, NEVER]), ""])
        what = "EVERYTHING described" if breadth(claim) is Breadth.EVERYTHING else "this"
        accepted = asker.yes(f"{text}Allow {what}?")
        decisions.append(Decision(claim, accepted, Answer.ASKED, kept=question.kept))
    return decisions


def check_required(decisions: Sequence[Decision], *, api: str) -> None:
    """A binding without a claim that the provider requires does not work, so it is not made (W-C3).

    Raises:
        CliError: naming the claims; exit code 3.
    """
    missing = [
        d.claim.group_resource for d in decisions if d.claim.required and not d.accepted and not d.kept
    ]
    if missing:
        raise CliError(
            f"{api}: rejected claims that the provider requires: {inert(', '.join(missing))}",
            next_step="run the command again and accept them, or ask the provider for an API without them",
            code=ExitCode.REFUSED,
        )


def settle(
    offered: Sequence[PermissionClaim],
    earlier: Sequence[AcceptablePermissionClaim],
    *,
    api: str,
    provider: str,
    policy: Policy | None,
    asker: Asker,
    progress: Progress,
    allowed: Collection[str] = CLAIMABLE,
) -> list[AcceptablePermissionClaim]:
    """The entries of one binding, after everything was asked that has to be.

    Args:
        offered: the provider's claims now.
        earlier: entries of the existing binding.
        api: the API that is being bound, ``P.G``.
        provider: what the provider is called.
        policy: ``--accept-claims``; None asks the person.
        asker: asks her.
        progress: tells what was decided without asking.
        allowed: group resources that may be claimed.

    Raises:
        CliError: a claim nobody may grant, a required one that was rejected, or no answer.
    """
    check_offered(offered, api=api, progress=progress, allowed=allowed)
    decisions, questions = open_questions(policy, offered, earlier, allowed)
    decisions += decide(questions, api=api, provider=provider, policy=policy, asker=asker, progress=progress)
    check_required(decisions, api=api)
    return entries(offered, decisions)
