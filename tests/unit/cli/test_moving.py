"""Whether a kubeconfig with another address leads to the same tenant: what proves it, and who is asked."""

import base64
import io
import json
from typing import Any

import pytest

from cli.binding.consent import Asker
from cli.binding.credential import Kubeconfig, accept
from cli.binding.moving import Move, account_uid, agree, difference
from cli.errors import CliError, ExitCode, RequestRefusedError, UnreachableError
from cli.output import Progress

pytestmark = pytest.mark.unit


def token(claims: Any) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"


def bound(uid: str) -> dict[str, Any]:
    account = {"name": "klutch-binder", "uid": uid}
    return {"kubernetes.io": {"namespace": "cns", "serviceaccount": account}}


@pytest.mark.parametrize(
    ("text", "uid"),
    [
        (token(bound("u-1")), "u-1"),
        (token({"kubernetes.io/serviceaccount/service-account.uid": "u-2"}), "u-2"),
        (token({"sub": "somebody"}), ""),
        (token({"kubernetes.io": "odd"}), ""),
        (token({"kubernetes.io": {"serviceaccount": {"uid": 7}}}), ""),
        (token(["a list"]), ""),
        ("opaque", ""),
        ("a.b.c", ""),
        ("a.\u00e4.c", ""),
        ("", ""),
    ],
)
def test_the_account_of_a_token(text: str, uid: str) -> None:
    assert account_uid(text) == uid


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("u", "u", ""),
        ("u", "v", "another one"),
        ("", "v", "stored credential"),
        ("u", "", "new address does not tell"),
        ("", "", "stored credential"),
    ],
)
def test_only_equal_accounts_prove_anything(old: str, new: str, words: str) -> None:
    found = difference(old, new)
    assert words in found
    assert bool(found) is bool(words)


def kubeconfig(server: str, uid: str) -> Kubeconfig:
    text = f"""
apiVersion: v1
kind: Config
current-context: x
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{token: "{token(bound(uid))}"}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u, namespace: cns}}}}]
"""
    return accept(text.encode(), namespace="", allow_private=True)


class Answers:
    """A provider that says who is asking."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def create(self, resource: Any, obj: dict[str, Any]) -> Any:
        self.asked.append(obj["kind"])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def saying(uid: Any) -> dict[str, Any]:
    return {"status": {"userInfo": {"username": "system:serviceaccount:cns:klutch-binder", "uid": uid}}}


def refused(status: int) -> RequestRefusedError:
    return RequestRefusedError("refused", status=status)


def run(answer: Any, *, vouched: bool = False, stdin: str = "") -> tuple[str, str]:
    """What was told and what was asked."""
    told, asked = io.StringIO(), io.StringIO()
    old, new = kubeconfig("https://old.example", "u-1"), kubeconfig("https://new.example", "u-1")
    provider: Any = Answers(answer)
    agree(
        Move("kubeconfig-x", old),
        new,
        provider,
        vouched=vouched,
        asker=Asker(io.StringIO(stdin), asked.write),
        progress=Progress(told),
    )
    assert provider.asked == ["SelfSubjectReview"]
    return told.getvalue(), asked.getvalue()


def test_the_same_account_is_proof_enough_and_is_told() -> None:
    told, asked = run(saying("u-1"))
    assert "moved from https://old.example to https://new.example" in told
    assert "same account" in told
    assert asked == ""


UNPROVEN = [saying("u-2"), saying(7), {}, refused(404), refused(403)]


@pytest.mark.parametrize("answer", UNPROVEN, ids=["another", "odd", "nothing", "not-known", "forbidden"])
def test_without_proof_the_person_is_asked(answer: Any) -> None:
    _, asked = run(answer, stdin="y\n")
    assert "https://new.example" in asked
    assert "not proven" in asked
    with pytest.raises(CliError, match="nothing was written") as caught:
        run(answer, stdin="n\n")
    assert caught.value.code is ExitCode.REFUSED
    with pytest.raises(CliError, match="no answer") as caught:
        run(answer)
    assert caught.value.code is ExitCode.REFUSED


@pytest.mark.parametrize("answer", UNPROVEN, ids=["another", "odd", "nothing", "not-known", "forbidden"])
def test_a_pipeline_vouches_with_a_flag_and_that_is_told(answer: Any) -> None:
    told, asked = run(answer, vouched=True)
    assert "by --move-provider" in told
    assert asked == ""


def test_a_provider_that_cannot_be_asked_is_no_answer() -> None:
    with pytest.raises(UnreachableError):
        run(UnreachableError("away"), vouched=True)
    with pytest.raises(RequestRefusedError):
        run(refused(401), vouched=True)
