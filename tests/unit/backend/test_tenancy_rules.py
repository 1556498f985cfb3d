"""Identities, names, addresses, kubeconfigs and the life of tokens: the pure half of tenancy."""

import asyncio
import base64
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bind_agent import handout
from bind_agent.api import keys, naming
from bind_agent.backend import names
from bind_agent.backend.tenancy import address, identity, kubeconfig, rotation
from bind_agent.backend.tenancy.address import AddressError, Endpoint, External
from bind_agent.backend.tenancy.identity import Identity, IdentityError, add_command, distinguished
from bind_agent.backend.tenancy.kubeconfig import Issued
from bind_agent.backend.tenancy.rotation import Credential, Retiring
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.intake import accept_kubeconfig

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CA = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
ENDPOINT = Endpoint("https://api.example.org:6443", CA)
ISSUED = Issued(ENDPOINT, "cluster-a", "token-1")


class TestIdentity:
    def test_annotation_of_the_spec(self) -> None:
        assert str(identity.identity("anna", "c1")) == "anna#c1"

    @pytest.mark.parametrize(
        ("subject", "cluster"),
        [
            ("", "c"),
            ("a", ""),
            (" a", "c"),
            ("a#b", "c"),
            ("a", "c\n"),
            ("a\x1b", "c"),
            ("a" * 256, "c"),
            ("a", "c" * 129),
        ],
    )
    def test_refused(self, subject: str, cluster: str) -> None:
        with pytest.raises(IdentityError):
            identity.identity(subject, cluster)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("a#c", Identity("a", "c")),
            ("a#b#c", Identity("a#b", "c")),
            ("a", None),
            ("#c", None),
            ("a#", None),
        ],
    )
    def test_annotations_of_go_are_read(self, text: str, found: Identity | None) -> None:
        assert Identity.parse(text) == found

    def test_the_name_follows_from_the_identity(self) -> None:
        first = identity.namespace_candidates("cluster", Identity("a", "c"))
        assert first == identity.namespace_candidates("cluster-", Identity("a", "c"))
        assert len(set(first)) == identity.CANDIDATES
        assert all(naming.is_label(name) and name.startswith("cluster-") for name in first)

    def test_parts_are_not_confused(self) -> None:
        one = identity.namespace_candidates("p", Identity("a", "bc"))
        other = identity.namespace_candidates("p", Identity("ab", "c"))
        assert not set(one) & set(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (Identity("a", "c", "https://one"), Identity("a", "c", "https://two")),
            (Identity("a", "c", "https://one"), Identity("a", "c")),
            (Identity("ab", "c", "https://i"), Identity("b", "c", "https://ia")),
            (Identity("a", "bc", "https://i"), Identity("ab", "c", "https://i")),
            # A part that looks like the division of another one.
            (Identity("1:b", "c", "a"), Identity("b", "c", "a1:")),
            (Identity("a", "c1:1"), Identity("a", "c")),
        ],
        ids=[
            "issuers",
            "login-or-command-line",
            "issuer-and-subject",
            "subject-and-cluster",
            "length",
            "number",
        ],
    )
    def test_all_three_parts_make_the_name(self, one: Identity, other: Identity) -> None:
        names_ = [set(identity.namespace_candidates("p", who)) for who in (one, other)]
        assert not names_[0] & names_[1]

    def test_a_subject_of_a_login_may_hold_the_divider(self) -> None:
        who = identity.identity("a#b", "c", "https://i")
        assert Identity.parse(str(who), "https://i") == who
        with pytest.raises(IdentityError):
            identity.identity("a", "b#c", "https://i")

    @pytest.mark.parametrize("issuer", ["https://i\n", " https://i", "https://i/" + "x" * 1024])
    def test_refused_issuers(self, issuer: str) -> None:
        with pytest.raises(IdentityError, match="issuer"):
            identity.identity("a", "c", issuer)

    @pytest.mark.parametrize(
        ("labels", "marks", "legacy", "issuer"),
        [
            ({}, {names.ISSUER: "https://i"}, "https://old", "https://i"),
            ({}, {names.ISSUER: ""}, "https://old", ""),
            ({keys.MANAGED_BY: keys.MANAGER}, {}, "https://old", ""),
            ({}, {}, "https://old", "https://old"),
            ({}, {}, "", ""),
            ({keys.MANAGED_BY: "somebody"}, {}, "https://old", "https://old"),
        ],
        ids=["login", "command-line", "earlier-release", "go", "go-unstated", "go-labelled"],
    )
    def test_each_namespace_has_one_issuer(
        self, labels: dict[str, str], marks: dict[str, str], legacy: str, issuer: str
    ) -> None:
        namespace = {"metadata": {"labels": labels, "annotations": {keys.IDENTITY: "a#c", **marks}}}
        assert identity.issuer_of(namespace, legacy) == issuer
        mine = [
            one
            for one in ("", "https://i", "https://old", "https://new")
            if identity.belongs_to(namespace, Identity("a", "c", one), legacy)
        ]
        assert mine == [issuer]

    def test_belongs_by_identity_and_issuer_only(self) -> None:
        mine = {"metadata": {"annotations": identity.annotations(Identity("a", "c", "https://i"))}}
        assert identity.belongs_to(mine, Identity("a", "c", "https://i"))
        assert not identity.belongs_to(mine, Identity("a", "d", "https://i"))
        assert not identity.belongs_to(mine, Identity("a", "c"))
        assert not identity.belongs_to({}, Identity("a", "c"))

    @pytest.mark.parametrize(
        ("who", "legacy", "command"),
        [
            (None, "", "bind-backend tenant add"),
            (Identity("anna", "c1"), "", "bind-backend tenant add anna --cluster-id=c1"),
            (Identity("anna", "c1"), "https://go", "bind-backend tenant add anna --cluster-id=c1"),
            (
                Identity("a", "c", "https://i"),
                "",
                "bind-backend tenant add a --cluster-id=c --issuer=https://i",
            ),
            (
                Identity("a", "c", "https://go"),
                "https://go",
                "bind-backend tenant add a --cluster-id=c --issuer=https://go --legacy-issuer=https://go",
            ),
            (Identity("a b;$(x)", "c"), "", "bind-backend tenant add 'a b;$(x)' --cluster-id=c"),
            (Identity("-rf", "c"), "", "bind-backend tenant add --cluster-id=c -- -rf"),
        ],
    )
    def test_the_command_that_lets_a_tenant_in_again(
        self, who: Identity | None, legacy: str, command: str
    ) -> None:
        assert add_command(who, legacy) == command

    def test_what_tells_namesakes_apart(self) -> None:
        assert distinguished(Identity("a", "c", "https://i")) == "cluster id c, issuer https://i"
        assert distinguished(Identity("a", "c")) == "cluster id c, of the command line"
        assert distinguished(None) == "not readable"

    def test_of_several_namespaces_the_oldest_living_one(self) -> None:
        def namespace(name: str, born: str, **more: str) -> dict[str, object]:
            return {"metadata": {"name": name, "creationTimestamp": born, **more}}

        found = identity.oldest(
            [
                namespace("dying", "2020-01-01T00:00:00Z", deletionTimestamp="2020-01-02T00:00:00Z"),
                namespace("second", "2022-01-01T00:00:00Z"),
                namespace("first", "2021-01-01T00:00:00Z"),
            ]
        )
        assert found is not None
        assert found["metadata"]["name"] == "first"
        assert identity.oldest([]) is None


class TestAddress:
    @pytest.mark.parametrize(
        "text",
        [
            "http://api:6443",
            "api.example.org",
            "https://",
            "https://api:99999",
            "https://user@api",
            "https://:pw@api",
            "https://api?x=1",
            "https://api#x",
        ],
    )
    def test_refused_addresses(self, text: str) -> None:
        with pytest.raises(AddressError, match="https URL"):
            address.check_address(text)

    def test_accepted_address_loses_its_slash(self) -> None:
        assert address.check_address("https://api.example.org/path/") == "https://api.example.org/path"

    def test_ca_files(self) -> None:
        assert address.check_ca(CA) == CA
        with pytest.raises(AddressError, match="no PEM"):
            address.check_ca(b"junk")
        with pytest.raises(AddressError, match="private key"):
            address.check_ca(CA + b"-----BEGIN PRIVATE KEY-----")

    def resolve(self, external: External, **own: object) -> Endpoint:
        settings = {
            "server": "https://own:6443",
            "ca_pem": CA,
            "tls_server_name": "own-name",
            "in_cluster": False,
        }
        return address.resolve(external, **{**settings, **own})  # type: ignore[arg-type]

    def test_own_configuration_of_a_kubeconfig(self) -> None:
        assert self.resolve(External()) == Endpoint("https://own:6443", CA, "own-name")

    def test_flags_win_and_drop_the_own_server_name(self) -> None:
        found = self.resolve(External("https://ext", b"other", ""))
        assert found == Endpoint("https://ext", b"other", "")
        assert self.resolve(External("https://ext", b"", "name")).tls_server_name == "name"

    def test_in_cluster_address_is_never_handed_out(self) -> None:
        with pytest.raises(AddressError, match="--external-address"):
            self.resolve(External(), in_cluster=True)
        assert self.resolve(External("https://ext"), in_cluster=True).ca_pem == CA

    def test_no_ca_no_kubeconfig(self) -> None:
        with pytest.raises(AddressError, match="--external-ca-file"):
            self.resolve(External("https://ext"), ca_pem=None)

    def test_plain_http_is_not_handed_out(self) -> None:
        with pytest.raises(AddressError, match="not https"):
            self.resolve(External(), server="http://own")

    @pytest.mark.parametrize(
        ("server", "local"), [("https://127.0.0.1:1", True), ("https://[::1]", True), ("https://a", False)]
    )
    def test_local_addresses_deserve_a_remark(self, server: str, local: bool) -> None:
        assert address.is_local(server) is local


class TestKubeconfig:
    def test_shape_of_the_spec(self) -> None:
        document = yaml.safe_load(kubeconfig.render(ISSUED))
        assert document == {
            "apiVersion": "v1",
            "kind": "Config",
            "preferences": {},
            "current-context": "default",
            "clusters": [
                {
                    "name": "default",
                    "cluster": {
                        "server": "https://api.example.org:6443",
                        "certificate-authority-data": base64.b64encode(CA).decode(),
                    },
                }
            ],
            "contexts": [
                {
                    "name": "default",
                    "context": {"cluster": "default", "namespace": "cluster-a", "user": "default"},
                }
            ],
            "users": [{"name": "default", "user": {"token": "token-1"}}],
        }

    def test_keys_are_in_alphabetical_order(self) -> None:
        text = kubeconfig.render(ISSUED).decode()
        tops = [line.split(":")[0] for line in text.splitlines() if line[0].isalpha()]
        assert tops == sorted(tops)

    def test_round_trip(self) -> None:
        issued = Issued(Endpoint("https://a", CA, "name"), "ns", "t")
        assert kubeconfig.parse(kubeconfig.render(issued)) == issued

    def test_own_loader_reads_it(self) -> None:
        assert from_kubeconfig(kubeconfig.render(ISSUED)).namespace == "cluster-a"

    def test_the_token_is_not_shown(self) -> None:
        assert "token-1" not in repr(ISSUED)

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00",
            b"- 1",
            b"{}",
            kubeconfig.render(ISSUED).replace(b"token-1", b"''"),
            kubeconfig.render(ISSUED).replace(
                b"certificate-authority-data: ", b"certificate-authority-data: '*'#"
            ),
            kubeconfig.render(ISSUED).replace(b"clusters:\n", b"clusters: []\nx:\n"),
            kubeconfig.render(ISSUED).replace(b"clusters:\n- cluster:", b"clusters:\n- cluster: 1\n  x:"),
        ],
    )
    def test_anything_else_reads_as_none(self, data: bytes) -> None:
        assert kubeconfig.parse(data) is None


def secret(state: Credential, **annotations: str) -> dict[str, object]:
    assert state.issued is not None
    data = base64.b64encode(kubeconfig.render(state.issued)).decode()
    return {
        "metadata": {"annotations": {**rotation.annotations(state), **annotations}},
        "data": {"kubeconfig": data},
    }


LIVE = Credential(ISSUED, generation=3, expires=NOW + 4 * DAY, renew=NOW + DAY)


class TestRotation:
    def plan(self, state: Credential, wanted: Endpoint | None = None) -> rotation.Plan:
        return rotation.plan(state, namespace="cluster-a", wanted=wanted, now=NOW)

    def test_nothing_to_do_until_the_next_look(self) -> None:
        assert self.plan(LIVE) == rotation.Plan("", (), rotation.CHECK)

    def test_wakes_up_for_the_renewal(self) -> None:
        state = Credential(ISSUED, 3, NOW + DAY, NOW + timedelta(minutes=5))
        assert self.plan(state).after == timedelta(minutes=5)

    @pytest.mark.parametrize(
        ("state", "why"),
        [
            (Credential(), "no usable kubeconfig"),
            (Credential(ISSUED), "does not expire"),
            (Credential(ISSUED, 1, NOW, None), "does not expire"),
            (Credential(ISSUED, 1, NOW + DAY, NOW), "due"),
            (Credential(Issued(ENDPOINT, "other", "t"), 1, NOW + DAY, NOW + DAY), "another namespace"),
        ],
    )
    def test_reasons_to_issue(self, state: Credential, why: str) -> None:
        plan = self.plan(state)
        assert why in plan.issue
        assert plan.after == rotation.CHECK

    def test_another_address_demanded_by_flags(self) -> None:
        assert not self.plan(LIVE, ENDPOINT).issue
        assert "address changed" in self.plan(LIVE, Endpoint("https://new", CA)).issue

    def test_old_tokens_end_when_their_time_has_come(self) -> None:
        retiring = (Retiring(1, NOW), Retiring(2, NOW + timedelta(minutes=1)))
        plan = self.plan(Credential(ISSUED, 3, NOW + DAY, NOW + DAY, retiring))
        assert plan.retire == (1,)
        assert plan.after == timedelta(minutes=1)

    def test_state_survives_in_annotations(self) -> None:
        state = Credential(
            ISSUED, 3, NOW + DAY, NOW + timedelta(hours=1), (Retiring(1, NOW), Retiring(2, NOW))
        )
        assert rotation.read(secret(state)) == state

    @pytest.mark.parametrize(
        "found",
        [
            None,
            {},
            {"data": {"kubeconfig": 1}},
            {"data": {"kubeconfig": "***"}},
            {"data": {"kubeconfig": base64.b64encode(b"junk").decode()}},
        ],
    )
    def test_unusable_secrets_read_as_missing(self, found: dict[str, object] | None) -> None:
        assert rotation.read(found) == Credential()

    @pytest.mark.parametrize(
        "mark", ["x", "-1", "1@", "1@yesterday", "a@2026-01-01T00:00:00Z", "1@2026-01-01T00:00:00"]
    )
    def test_forged_annotations_are_ignored(self, mark: str) -> None:
        found = rotation.read(secret(LIVE, **{names.TOKENS_RETIRING: mark, names.TOKEN_GENERATION: mark}))
        assert (found.retiring, found.generation) == ((), 0)

    def test_a_scheduled_renewal_lets_the_old_token_live(self) -> None:
        after = rotation.succeed(LIVE, ISSUED, expires=NOW + 7 * DAY, renew=NOW + 4 * DAY, old_until=None)
        assert after.generation == 4
        assert after.retiring == (Retiring(3, NOW + 4 * DAY),)

    def test_an_ordered_one_ends_it_after_the_overlap(self) -> None:
        until = NOW + timedelta(minutes=10)
        after = rotation.succeed(LIVE, ISSUED, expires=NOW + 7 * DAY, renew=NOW + 4 * DAY, old_until=until)
        assert after.retiring == (Retiring(3, until),)

    def test_the_first_one_retires_nothing(self) -> None:
        assert rotation.succeed(Credential(), ISSUED, expires=NOW, renew=NOW, old_until=NOW).retiring == ()

    def test_retired_tokens_are_forgotten(self) -> None:
        state = Credential(ISSUED, 3, NOW, NOW, (Retiring(1, NOW), Retiring(2, NOW)))
        assert rotation.forget(state, (1,)).retiring == (Retiring(2, NOW),)

    def test_renewal_is_spread_over_half_to_six_tenths_of_the_life(self) -> None:
        times = {rotation.renew_at(NOW, NOW + 10 * DAY, f"cluster-{n}") for n in range(200)}
        assert len(times) > 100
        assert min(times) >= NOW + 5 * DAY
        assert max(times) <= NOW + 6 * DAY
        assert rotation.renew_at(NOW, NOW + DAY, "a") == rotation.renew_at(NOW, NOW + DAY, "a")

    @pytest.mark.parametrize("state", [Credential(ISSUED, 1, NOW, None), Credential(ISSUED, 1, None, NOW)])
    def test_endless_credentials_are_never_written(self, state: Credential) -> None:
        with pytest.raises(ValueError, match="without an end"):
            rotation.annotations(state)

    def test_token_secret(self) -> None:
        assert rotation.token_secret(4) == "klutch-binder-token-4"

    def test_another_token_is_added_while_few_others_work(self) -> None:
        few = tuple(Retiring(n, NOW + n * DAY) for n in range(1, rotation.MOST_RETIRING))
        assert rotation.rotation_possible(Credential(), NOW) is None
        assert rotation.rotation_possible(replace(LIVE, retiring=few), NOW) is None

    def test_beyond_that_one_of_them_has_to_end_first(self) -> None:
        full = tuple(Retiring(n, NOW + n * DAY) for n in range(rotation.MOST_RETIRING, 0, -1))
        assert rotation.rotation_possible(replace(LIVE, retiring=full), NOW) == NOW + DAY
        more = (*full, Retiring(9, NOW + 9 * DAY))
        assert rotation.rotation_possible(replace(LIVE, retiring=more), NOW) == NOW + 2 * DAY

    def test_a_token_that_is_overdue_works_until_it_is_deleted(self) -> None:
        late = tuple(Retiring(n, NOW - n * DAY) for n in range(1, rotation.MOST_RETIRING + 1))
        assert rotation.rotation_possible(replace(LIVE, retiring=late), NOW) == NOW + rotation.OVERDUE


class TestHandout:
    def test_whole_file_for_its_owner(self, tmp_path: Path) -> None:
        target = tmp_path / "a.kubeconfig"
        target.write_text("old")
        target.chmod(0o644)
        handout.write(target, b"new")
        assert target.read_bytes() == b"new"
        assert target.stat().st_mode & 0o777 == 0o600
        assert [one.name for one in tmp_path.iterdir()] == ["a.kubeconfig"]

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("mine")
        link = tmp_path / "link"
        link.symlink_to(victim)
        with pytest.raises(handout.HandoutError, match="symbolic link"):
            handout.write(link, b"new")
        assert victim.read_text() == "mine"

    def test_folders_and_missing_folders(self, tmp_path: Path) -> None:
        with pytest.raises(handout.HandoutError, match="not a regular file"):
            handout.write(tmp_path, b"")
        with pytest.raises(handout.HandoutError, match="cannot write"):
            handout.write(tmp_path / "none" / "file", b"")

    def test_nothing_is_left_of_a_failed_attempt(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(handout.HandoutError, match="No space"):
            handout.write(tmp_path / "file", b"x")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("where", ["open", "fsync", "replace"])
    @pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
    def test_an_interrupted_attempt_leaves_what_stood_there_and_no_part(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, end: type[BaseException]
    ) -> None:
        """Whenever it comes: with the file just made, half written, or about to take its place."""
        target = tmp_path / "a.kubeconfig"
        target.write_text("old")
        real_open = os.open

        def made_and_interrupted(*given: Any, **more: Any) -> int:
            os.close(real_open(*given, **more))
            raise end

        def interrupted(*_: Any) -> None:
            raise end

        if where == "open":
            monkeypatch.setattr("os.open", made_and_interrupted)
        elif where == "fsync":
            monkeypatch.setattr("os.fsync", interrupted)
        else:
            monkeypatch.setattr(Path, "replace", interrupted)
        with pytest.raises(end):
            handout.write(target, b"new")
        monkeypatch.undo()
        assert [one.name for one in tmp_path.iterdir()] == ["a.kubeconfig"]
        assert target.read_text() == "old"
        handout.write(target, b"new")
        assert target.read_bytes() == b"new"
        assert [one.name for one in tmp_path.iterdir()] == ["a.kubeconfig"]

    def test_a_part_of_somebody_else_is_not_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("secrets.token_hex", lambda _: "00")
        taken = tmp_path / ".file.00"
        taken.write_text("theirs")
        with pytest.raises(handout.HandoutError, match="cannot write"):
            handout.write(tmp_path / "file", b"x")
        assert taken.read_text() == "theirs"


def test_the_konnectors_intake_accepts_what_we_hand_out(real_ca: bytes) -> None:
    issued = Issued(Endpoint("https://api.example.org:6443", real_ca), "cluster-a", "token")
    accepted = accept_kubeconfig(kubeconfig.render(issued))
    assert accepted.namespace == "cluster-a"
