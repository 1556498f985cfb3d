"""Flags of the web half as a person, a Go deployment or a pod gives them (spec 4.1, W-B15)."""

import datetime
from base64 import b64encode
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from bind_agent.backend.access import Kind
from bind_agent.backend.app import cli
from bind_agent.backend.options import serve as options
from bind_agent.backend.options.serve import Serve
from bind_agent.backend.options.web import WebOptions
from bind_agent.backend.options.web_values import check_url

pytestmark = pytest.mark.unit

SIGNING = b64encode(b"s" * 32).decode()
LONG_SIGNING = b64encode(b"S" * 64).decode()
NEEDED = {
    "--oidc-issuer-url": "https://issuer.example",
    "--oidc-issuer-client-id": "backend",
    "--oidc-callback-url": "https://portal.example/callback",
    "--cookie-signing-key": SIGNING,
}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Serve]:
    """Collects what `serve` would run with."""
    found: list[Serve] = []
    monkeypatch.setitem(cli.commands, "serve", options.serve_command(found.append))
    return found


def invoke(*arguments: str, without: str = "", **environment: str) -> Result:
    given = [f"{flag}={value}" for flag, value in NEEDED.items() if flag != without]
    env = {"POD_NAMESPACE": "", **environment}
    return CliRunner().invoke(cli, [*given, *arguments], env=env, prog_name="bind-backend")


def web_of(served: list[Serve]) -> WebOptions:
    (found,) = served
    assert found.web is not None
    return found.web


def said(result: Result) -> str:
    return " ".join(result.stderr.replace("│", " ").split())


def test_what_is_needed_is_enough(served: list[Serve]) -> None:
    result = invoke()
    assert result.exit_code == 0, result.output
    web = web_of(served)
    assert (web.listen_host, web.listen_port, web.secure, web.origin) == (
        "127.0.0.1",
        8080,
        True,
        "https://portal.example",
    )
    # A public client: no secret is demanded.
    assert web.oidc.client_secret == ""
    assert web.oidc.scopes == ("openid", "profile", "email")
    assert not web.plain_get_bind


@pytest.mark.parametrize("flag", NEEDED)
def test_what_is_missing_is_named(served: list[Serve], flag: str) -> None:
    result = invoke(without=flag)
    assert result.exit_code == 2
    assert flag in said(result)
    assert "--no-web" in said(result)
    assert served == []


def test_without_any_flag_everything_is_named(served: list[Serve]) -> None:
    result = CliRunner().invoke(cli, [], env={"POD_NAMESPACE": ""})
    assert result.exit_code == 2
    assert all(flag in said(result) for flag in NEEDED)


def test_arguments_of_a_go_deployment(served: list[Serve]) -> None:
    result = invoke(
        "--oidc-issuer-client-secret=hush",
        "--oidc-authorize-url=https://portal.example/authorize",
        f"--cookie-encryption-key={b64encode(b'e' * 32).decode()}",
        "--listen-address=0.0.0.0:9443",
        "--consumer-scope=cluster",
        "-v=4",
    )
    assert result.exit_code == 0, result.output
    web = web_of(served)
    assert (web.listen_host, web.listen_port) == ("0.0.0.0", 9443)
    assert web.oidc.client_secret == "hush"
    assert web.cookie_keys.encryption == (b"e" * 32,)


@pytest.mark.parametrize("size", [32, 64])
def test_signing_keys_have_gos_sizes(served: list[Serve], size: int) -> None:
    key = b64encode(b"k" * size).decode()
    assert invoke(f"--cookie-signing-key={key}", without="--cookie-signing-key").exit_code == 0
    assert web_of(served).cookie_keys.signing == (b"k" * size,)


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("signing", [SIGNING, LONG_SIGNING])
def test_encryption_keys_have_gos_sizes_whatever_the_signing_key_has(
    served: list[Serve], size: int, signing: str
) -> None:
    # Go checks the signing key a second time instead (W-B15).
    key = b64encode(b"k" * size).decode()
    result = invoke(
        f"--cookie-signing-key={signing}", f"--cookie-encryption-key={key}", without="--cookie-signing-key"
    )
    assert result.exit_code == 0, result.output
    assert web_of(served).cookie_keys.encryption == (b"k" * size,)


@pytest.mark.parametrize(
    ("flag", "key", "message"),
    [
        ("--cookie-signing-key", b64encode(b"k" * 31).decode(), "31 bytes, and 32 or 64"),
        ("--cookie-signing-key", b64encode(b"k" * 16).decode(), "32 or 64"),
        ("--cookie-signing-key", "no base64!", "not base64"),
        ("--cookie-encryption-key", b64encode(b"k" * 64).decode(), "16 or 24 or 32"),
        ("--cookie-encryption-key", b64encode(b"k" * 20).decode(), "16 or 24 or 32"),
        ("--cookie-encryption-key", "%", "not base64"),
    ],
)
def test_other_keys_are_refused_and_never_repeated(
    served: list[Serve], flag: str, key: str, message: str
) -> None:
    result = invoke(f"{flag}={key}")
    assert result.exit_code == 2
    assert message in said(result)
    assert "openssl rand" in said(result)
    assert key not in result.output or len(key) < 3


def test_keys_rotate(served: list[Serve]) -> None:
    assert invoke(f"--cookie-signing-key={LONG_SIGNING}").exit_code == 0
    assert web_of(served).cookie_keys.signing == (b"s" * 32, b"S" * 64)


def test_secrets_come_from_files(served: list[Serve], tmp_path: Path) -> None:
    keys, secret = tmp_path / "keys", tmp_path / "secret"
    keys.write_text(f"{LONG_SIGNING}\n\n{SIGNING}\n")
    secret.write_text("hush\n")
    result = invoke(
        f"--cookie-signing-key-file={keys}",
        f"--oidc-issuer-client-secret-file={secret}",
        without="--cookie-signing-key",
    )
    assert result.exit_code == 0, result.output
    assert web_of(served).cookie_keys.signing == (b"S" * 64, b"s" * 32)
    assert web_of(served).oidc.client_secret == "hush"


def test_secrets_come_from_the_environment(served: list[Serve]) -> None:
    result = invoke(
        without="--cookie-signing-key",
        BIND_BACKEND_COOKIE_SIGNING_KEY=f"{SIGNING} {LONG_SIGNING}",
        BIND_BACKEND_OIDC_ISSUER_CLIENT_SECRET="hush",
        BIND_BACKEND_COOKIE_ENCRYPTION_KEY="",
    )
    assert result.exit_code == 0, result.output
    assert len(web_of(served).cookie_keys.signing) == 2
    assert web_of(served).oidc.client_secret == "hush"


def test_secrets_are_in_no_repr(served: list[Serve]) -> None:
    assert invoke("--oidc-issuer-client-secret=hush").exit_code == 0
    text = repr(served)
    assert "hush" not in text
    assert "ssss" not in text


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--oidc-issuer-url=http://issuer.example", "not an https URL"),
        ("--oidc-issuer-url=https://issuer.example?x=1", "no query"),
        ("--oidc-issuer-url=https://a:b@issuer.example", "not an https URL"),
        ("--oidc-issuer-url=issuer.example", "not an https URL"),
        ("--oidc-callback-url=http://portal.example/callback", "not an https URL"),
        ("--oidc-callback-url=https://portal.example/other", "must be /callback"),
        ("--oidc-callback-url=https://portal.example/base/callback", "root of a host"),
        ("--oidc-callback-url=https://portal.example/callback?x=1", "must be /callback"),
        ("--oidc-callback-url=https://portal.example:0/callback", "not an https URL"),
        ("--oidc-callback-url=https://portal.example:x/callback", "not an https URL"),
        ("--oidc-callback-url=https://portal.example/callback#x", "no fragment"),
        ("--oidc-authorize-url=javascript:alert(1)", "not an https URL"),
        ("--oidc-issuer-client-id=a\nb", "client id"),
        ("--oidc-groups-claim= ", "groups claim"),
        ("--oidc-ca-file=/nonexistent", "cannot be used"),
        ("--oidc-issuer-client-secret-file=/nonexistent", "cannot read"),
        ("--cookie-signing-key-file=/dev/zero", "larger than"),
        ("--listen-address=8080", "not host:port"),
        ("--tls-cert-file=/nonexistent", "needs --tls-key-file"),
        ("--tls-key-file=/nonexistent", "needs --tls-cert-file"),
        ("--trusted-proxies=-1", "not in the range"),
        ("--rate-limit=-1", "not in the range"),
        ("--max-connections=0", "not in the range"),
        ("--max-connections-per-address=-1", "not in the range"),
        ("--testing-auto-select=mangodbs.mangodb.com", "localhost only"),
    ],
)
def test_refused(served: list[Serve], flag: str, message: str) -> None:
    result = invoke(flag)
    assert result.exit_code == 2, result.output
    assert message in said(result)
    assert served == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080"])
def test_without_tls_on_this_machine_only(served: list[Serve], host: str) -> None:
    assert invoke(f"--oidc-callback-url=http://{host}/callback").exit_code == 0
    assert not web_of(served).secure


def test_the_switch_for_tests_of_browsers(served: list[Serve]) -> None:
    local = "--oidc-callback-url=http://localhost:8080/callback"
    assert invoke(local, "--testing-auto-select=mangodbs.mangodb.com").exit_code == 0
    assert web_of(served).auto_select == Kind("mangodb.com", "mangodbs")
    refused = invoke(local, "--testing-auto-select=mangodbs")
    assert "not RESOURCE.GROUP" in said(refused)


@pytest.mark.parametrize(
    ("flags", "address"),
    [
        (("--listen-ip=10.0.0.1", "--listen-port=81"), ("10.0.0.1", 81)),
        (("--listen-ip=::1", "--listen-port=81"), ("::1", 81)),
        (("--listen-ip=10.0.0.1",), ("10.0.0.1", 8080)),
        # As in Go, the port alone is nothing.
        (("--listen-port=81",), ("127.0.0.1", 8080)),
        (("--listen-address=:81",), ("0.0.0.0", 81)),
    ],
)
def test_addresses_old_and_new(served: list[Serve], flags: tuple[str, ...], address: tuple[str, int]) -> None:
    result = invoke(*flags)
    assert result.exit_code == 0, result.output
    assert (web_of(served).listen_host, web_of(served).listen_port) == address
    assert ("deprecated" in result.stderr) == ("--listen-ip" in flags[0])


class TestTls:
    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[Path, Path, Path]:
        ca = trustme.CA()
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        first = ca.issue_cert("portal.example", not_after=soon)
        second = ca.issue_cert("portal.example")
        cert, key, other = tmp_path / "cert", tmp_path / "key", tmp_path / "other"
        cert.write_bytes(b"".join(blob.bytes() for blob in first.cert_chain_pems))
        first.private_key_pem.write_to_path(key)
        second.private_key_pem.write_to_path(other)
        return cert, key, other

    def test_a_pair_is_taken(self, served: list[Serve], files: tuple[Path, Path, Path]) -> None:
        cert, key, _ = files
        result = invoke(f"--tls-cert-file={cert}", f"--tls-key-file={key}")
        assert result.exit_code == 0, result.output
        assert web_of(served).tls_key_file == str(key)

    def test_two_halves_of_pairs_are_not(self, served: list[Serve], files: tuple[Path, Path, Path]) -> None:
        cert, _, other = files
        result = invoke(f"--tls-cert-file={cert}", f"--tls-key-file={other}")
        assert result.exit_code == 2
        assert "cannot be used" in said(result)


def test_off_means_that_nothing_is_checked(served: list[Serve]) -> None:
    assert invoke("--no-web", "--oidc-callback-url=nonsense").exit_code == 0
    assert served[0].web is None


class TestControlPlaneMode:
    """The rule of spec 4.1."""

    def test_without_a_flag_of_the_issuer_there_are_no_pages(self, served: list[Serve]) -> None:
        result = CliRunner().invoke(cli, ["--control-plane-mode"], env={"POD_NAMESPACE": ""})
        assert result.exit_code == 0, result.output
        assert served[0].web is None

    def test_with_all_of_them_there_are(self, served: list[Serve]) -> None:
        assert invoke("--control-plane-mode").exit_code == 0
        assert web_of(served).secure

    def check(self, **given: str) -> WebOptions | None:
        from bind_agent.backend.options import web, web_flags

        values: dict[str, object] = dict.fromkeys(web_flags.NAMES, "")
        values |= {"web": True, "oidc_scope": (), "cookie_signing_key": (), "cookie_encryption_key": ()}
        values |= {"admin_group": (), "admin_user": (), "compat_plain_get_bind": False}
        values |= {"trusted_proxies": 0, "rate_limit": 20, "oidc_groups_claim": "groups"}
        values |= {"max_connections": 1000, "max_connections_per_address": 100}
        return web.check(values | given, control_plane=True)

    def test_without_a_flag_of_the_issuer_nothing_listens(self) -> None:
        assert self.check() is None
        assert self.check(listen_address="0.0.0.0:80") is None

    @pytest.mark.parametrize(
        "name",
        [
            "oidc_issuer_url",
            "oidc_issuer_client_id",
            "oidc_issuer_client_secret",
            "oidc_callback_url",
            "oidc_authorize_url",
        ],
    )
    def test_with_one_of_them_all_are_needed(self, name: str) -> None:
        with pytest.raises(Exception, match="the login pages need"):
            self.check(**{name: "https://x.example"})


def test_addresses_are_compared_as_they_are_written() -> None:
    assert check_url("https://issuer.example/", "--oidc-issuer-url") == "https://issuer.example/"
