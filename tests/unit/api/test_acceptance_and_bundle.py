"""Claims that are settled beforehand, the objects of a binding, and bundles of them."""

import base64
from typing import Any

import pytest

from bind_agent.api import bundle, consumer_side, keys
from bind_agent.api.acceptance import Acceptance, AcceptanceError, UnknownKindError, refusals, settle
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.decoding import problems
from bind_agent.manifests import binding_crd, dump, is_image, konnector_image, konnector_manifests

pytestmark = pytest.mark.unit

SECRETS = PermissionClaim(resource="secrets", version="v1", selector=ClaimSelector(owner="Provider"))
MAPS = PermissionClaim(resource="configmaps", version="v1", required=True)
PODS = PermissionClaim(resource="pods", version="v1")
FIELDS = PermissionClaim(resource="secrets", version="v1", selector=ClaimSelector(field_selectors=("a=b",)))
ALL = Acceptance.read("all")


def states(*claims: PermissionClaim, acceptance: Acceptance | None) -> list[tuple[str, str]]:
    return [(one.resource, one.state) for one in settle(claims, acceptance, api="dbs.example.com")]


class TestAcceptance:
    @pytest.mark.parametrize(
        ("text", "accepted"),
        [
            ("all", [True, True]),
            ("none", [False, False]),
            ("secrets", [True, False]),
            ("configmaps, secrets", [True, True]),
            ("things.example.com", [False, False]),
        ],
    )
    def test_what_is_accepted(self, text: str, accepted: list[bool]) -> None:
        policy = Acceptance.read(text)
        assert [policy.accepts(claim) for claim in (SECRETS, MAPS)] == accepted

    @pytest.mark.parametrize("text", ["", ",", "all,secrets", "secrets,none", "secrets,,configmaps"])
    def test_what_is_not_understood(self, text: str) -> None:
        with pytest.raises(AcceptanceError, match="is not understood: give all, none, or kinds"):
            Acceptance.read(text)

    def test_the_order_of_the_provider_stays(self) -> None:
        assert states(MAPS, SECRETS, acceptance=ALL) == [("configmaps", "Accepted"), ("secrets", "Accepted")]
        assert states(SECRETS, MAPS, acceptance=Acceptance.read("configmaps")) == [
            ("secrets", "Rejected"),
            ("configmaps", "Accepted"),
        ]
        assert states(SECRETS, SECRETS, acceptance=ALL) == [("secrets", "Accepted")]

    def test_nothing_to_settle_needs_no_word(self) -> None:
        assert states(acceptance=None) == []
        assert states(FIELDS, acceptance=None) == [("secrets", "Rejected")]

    @pytest.mark.parametrize(
        ("claims", "acceptance", "words"),
        [
            ([SECRETS], None, "has claims on secrets: say with --accept-claims"),
            ([SECRETS, MAPS], Acceptance.read("secrets"), "required claims on configmaps"),
            ([PODS], ALL, "may not be granted"),
        ],
    )
    def test_what_cannot_be_settled(
        self, claims: list[PermissionClaim], acceptance: Acceptance | None, words: str
    ) -> None:
        with pytest.raises(AcceptanceError, match=words):
            settle(claims, acceptance, api="dbs.example.com")

    @pytest.mark.parametrize(
        ("claims", "text", "words"),
        [
            (
                [SECRETS, MAPS],
                "secrets,configmap",
                "no claim on 'configmap'; the claims are: configmaps, secrets",
            ),
            ([SECRETS], "secretz,a\x1bb", "no claim on 'a b' and 'secretz'; the claims are: secrets"),
            ([], "secrets", "no claim on 'secrets'; there are no claims"),
        ],
    )
    def test_a_kind_that_nothing_claims_is_an_error(
        self, claims: list[PermissionClaim], text: str, words: str
    ) -> None:
        with pytest.raises(UnknownKindError) as caught:
            settle(claims, Acceptance.read(text), api="dbs.example.com")
        assert str(caught.value) == words

    def test_what_other_apis_claim_is_none(self) -> None:
        entries = settle([SECRETS], Acceptance.read("configmaps"), api="x", elsewhere={"configmaps"})
        assert [entry.state for entry in entries] == ["Rejected"]
        for text in ("all", "none"):
            assert settle([], Acceptance.read(text), api="x") == ()

    def test_refusals_by_rule(self) -> None:
        required = PermissionClaim(resource="secrets", version="v1", required=True, selector=FIELDS.selector)
        assert refusals([SECRETS, FIELDS]) == ([], [FIELDS])
        assert len(refusals([PODS, required])[0]) == 2

    def test_a_kind_that_somebody_allows(self) -> None:
        tickets = PermissionClaim(group="example.com", resource="tickets", version="v1", required=True)
        with pytest.raises(AcceptanceError, match=r"--allow-claim=tickets\.example\.com allows it"):
            settle([tickets], ALL, api="x")
        (entry,) = settle([tickets], ALL, api="x", allowed={"tickets.example.com"})
        assert entry.accepted


class TestObjects:
    def test_the_binding(self) -> None:
        entries = settle([SECRETS], ALL, api="x")
        found = consumer_side.binding("example.com", "dbs", entries, secret="s", conflict_policy="Adopt")
        assert problems(found) == []
        assert found["metadata"] == {
            "name": "dbs.example.com",
            "namespace": "klutch-bind",
            "annotations": {keys.CONFLICT_POLICY: "Adopt"},
        }
        assert found["spec"]["permissionClaims"] == [
            {
                "group": "",
                "resource": "secrets",
                "version": "v1",
                "selector": {"owner": "Provider", "names": ["*"], "namespaces": ["*"]},
                "read": {},
                "onConflict": {"recreateWhenConsumerSideDeleted": True},
                "state": "Accepted",
            }
        ]
        plain = consumer_side.binding("example.com", "dbs", (), secret="s", namespaced=False)
        assert plain["metadata"] == {"name": "dbs.example.com"}
        assert "permissionClaims" not in plain["spec"]

    def test_stated_selectors_stay(self) -> None:
        claim = PermissionClaim(
            resource="secrets", version="v1", selector=ClaimSelector(names=("a",), namespaces=())
        )
        found = consumer_side.binding("e.com", "dbs", settle([claim], ALL, api="x"), secret="s")
        assert found["spec"]["permissionClaims"][0]["selector"] == {"names": ["a"], "namespaces": []}

    @pytest.mark.parametrize(("policy", "creates"), [("", False), ("Fail", False), ("Adopt", True)])
    def test_only_adoption_creates(self, policy: str, creates: bool) -> None:
        role = consumer_side.role("e.com", "dbs", (), conflict_policy=policy)
        assert ("create" in role["rules"][0]["verbs"]) is creates

    def test_the_secret(self) -> None:
        named, unnamed = consumer_side.secret(b"text", name="x"), consumer_side.secret(b"text")
        assert named["metadata"]["name"] == "x"
        assert unnamed["metadata"]["generateName"] == "kubeconfig-"
        assert base64.b64decode(named["data"]["kubeconfig"]) == b"text"

    def test_its_name_follows_from_the_place(self) -> None:
        one = consumer_side.secret_name("https://p.example", "cns")
        assert one == consumer_side.secret_name("https://p.example", "cns")
        assert one.startswith("kubeconfig-")
        others = {
            consumer_side.secret_name("https://p.example", "cn"),
            consumer_side.secret_name("https://q.example", "cns"),
        }
        assert one not in others

    def test_the_kubeconfig_has_what_is_known(self) -> None:
        bare = consumer_side.kubeconfig(
            server="https://p", ca_pem=None, tls_server_name="", namespace="n", token="t"
        )
        assert bare["clusters"] == [{"name": "default", "cluster": {"server": "https://p"}}]
        assert bare["users"] == [{"name": "default", "user": {"token": "t"}}]
        full = consumer_side.kubeconfig(
            server="https://p",
            ca_pem=b"ca",
            tls_server_name="name",
            namespace="n",
            token="",
            certificate=b"c",
            key=b"k",
        )
        assert set(full["clusters"][0]["cluster"]) == {
            "server",
            "certificate-authority-data",
            "tls-server-name",
        }
        assert set(full["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def kinds(objects: list[dict[str, Any]]) -> list[str]:
    return [one["kind"] for one in objects]


class TestBundle:
    API = bundle.BoundApi("example.com", "dbs")

    def test_with_everything(self) -> None:
        konnector = [*konnector_manifests("example.com/k:v1"), binding_crd()]
        objects = bundle.bundle(
            [self.API, bundle.BoundApi("example.com", "queues")],
            bundle.Credential("s", b"text"),
            konnector=konnector,
        )
        ranks = [bundle.ORDER.index(kind) for kind in kinds(objects)]
        assert ranks == sorted(ranks)
        assert set(kinds(objects)) == set(bundle.ORDER)
        assert kinds(objects).count("Namespace") == 1
        (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/k:v1"
        references = [
            one["spec"]["kubeconfigSecretRef"]["name"]
            for one in objects
            if "Binding" in one["kind"][3:] and "spec" in one
        ]
        assert references == ["s", "s"]

    def test_with_as_little_as_possible(self) -> None:
        objects = bundle.bundle([self.API], bundle.Credential("s"), konnector=[])
        assert kinds(objects) == ["Namespace", "ClusterRole", keys.KIND_BINDING]

    def test_each_object_once(self) -> None:
        with pytest.raises(ValueError, match="once"):
            bundle.bundle([self.API, self.API], bundle.Credential("s"), konnector=[])
        with pytest.raises(ValueError, match="no place for Pod"):
            bundle.in_order([{"kind": "Pod", "metadata": {"name": "x"}}])

    def test_the_credential_is_not_shown(self) -> None:
        assert "text" not in repr(bundle.Credential("s", b"text"))

    def test_dumped_text_steers_no_terminal(self) -> None:
        text = dump([{"a": "\x1b[31m\u202e"}, {"b": 1}])
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert text.count("---") == 1

    @pytest.mark.parametrize(
        ("image", "fine"),
        [
            (konnector_image(), True),
            ("x", True),
            ("a b", False),
            ("", False),
            ("-x", False),
            ("x" * 501, False),
        ],
    )
    def test_images(self, image: str, fine: bool) -> None:
        assert is_image(image) is fine
