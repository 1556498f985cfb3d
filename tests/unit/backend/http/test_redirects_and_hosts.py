"""Where answers go, and under which name we are asked (threats A49, W-S6, W-B7)."""

import base64
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from bind_agent.backend.http import headers, host, redirects
from bind_agent.backend.http.redirects import BadTarget
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.options.web import CookieKeys, WebOptions

pytestmark = pytest.mark.unit

OPTIONS = WebOptions(
    oidc=OidcConfig("https://issuer.example", "backend", callback_url="https://portal.example/callback"),
    cookie_keys=CookieKeys((b"s" * 32,)),
)


@pytest.mark.parametrize(
    ("asked", "becomes"),
    [
        ("http://localhost:12345/callback", "http://localhost:12345/callback"),
        ("http://127.0.0.1:12345/x/y", "http://127.0.0.1:12345/x/y"),
        ("http://[::1]:12345/callback", "http://[::1]:12345/callback"),
        ("http://localhost/callback", "http://localhost/callback"),
        ("http://LOCALHOST:1/A", "http://localhost:1/A"),
        ("http://localhost:1", "http://localhost:1/"),
        ("HTTP://localhost:1/", "http://localhost:1/"),
        ("http://localhost:1/cb?a=1&b=%20x&a=2&empty=", "http://localhost:1/cb?a=1&b=+x&a=2&empty="),
        ("http://localhost:1/a%2Fb", "http://localhost:1/a%2Fb"),
    ],
)
def test_this_machine_is_a_target(asked: str, becomes: str) -> None:
    assert redirects.target(asked, "") == becomes
    assert redirects.target(asked, "99") == becomes, "u wins"


@pytest.mark.parametrize(
    "asked",
    [
        "https://evil.example/",
        "http://evil.example/",
        "https://localhost:1/",
        "http://localhost.evil.example/",
        "http://localhost%2eevil.example/",
        "http://evil.example#localhost",
        "http://localhost:1/#fragment",
        "http://localhost:1@evil.example/",
        "http://user@localhost:1/",
        "http://@localhost:1/",
        "http://evil.example\\@localhost:1/",
        "http://localhost\\.evil.example/",
        "http:\\\\evil.example/",
        "http:/evil.example",
        "http:evil.example",
        "//evil.example/",
        "///evil.example",
        "/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://localhost/",
        "http://127.0.0.1.evil.example/",
        "http://127.1:1/",
        "http://2130706433:1/",
        "http://0x7f000001:1/",
        "http://0.0.0.0:1/",
        "http://127.0.0.2:1/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://[::1]evil.example:1/",
        "http://[::1%25eth0]:1/",
        "http://[::1:1/",
        "http://localhost:99999/",
        "http://localhost:0/",
        "http://localhost:x/",
        "http://localhost:/",
        "http://localhost:080/",
        "http://ⓛocalhost:1/",
        "http://localhost\u2024evil.example/",
        "http://local\thost:1/",
        "http://localhost:1/\r\nSet-Cookie: a=b",
        " http://localhost:1/",
        "http://localhost:1/ x",
        "http://localhost:1/<script>",
        "http://localhost:1/?x=%ff",
        "http://localhost:1/?" + "&".join(f"a{n}=1" for n in range(50)),
        "http://localhost:1/" + "a" * 1100,
        "http://",
        "x",
    ],
)
def test_everything_else_is_refused(asked: str) -> None:
    with pytest.raises(BadTarget):
        redirects.target(asked, "")


@pytest.mark.parametrize(("port", "url"), [("1", "1"), ("65535", "65535"), ("08080", "8080")])
def test_a_port_means_localhost(port: str, url: str) -> None:
    assert redirects.target("", port) == f"http://localhost:{url}/callback"


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "-1", "1.5", "1@evil.example", "٣", "9" * 400, "80/..", " 80"]
)
def test_other_ports_are_refused(port: str) -> None:
    with pytest.raises(BadTarget):
        redirects.target("", port)


def test_standard_base64_arrives_as_it_is() -> None:
    # Go's CLI decodes the standard alphabet only; a plus that is not encoded would arrive as a space (spec 12.4).
    text = base64.b64encode(bytes(range(256))).decode()
    assert {"+", "/"} < set(text)
    url = redirects.answer("http://localhost:1/cb?keep=a%26b&response=old&x=", {"response": text})
    query = urlsplit(url).query
    assert parse_qs(query, keep_blank_values=True) == {"keep": ["a&b"], "x": [""], "response": [text]}
    assert not {"+", "/"} & set(query.partition("response=")[2])


def test_what_a_browser_stops_after_a_form() -> None:
    assert redirects.blocked_after_form("http://[::1]:1/")
    assert not redirects.blocked_after_form("http://localhost:1/")


@pytest.mark.parametrize("path", ["/", "/clusters", "/resources?s=a&q=b%20c", "/a/../b"])
def test_pages_of_our_own(path: str) -> None:
    assert redirects.local(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "clusters",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/a\nb",
        "/\tx",
        "/" + "a" * 2000,
    ],
)
def test_other_addresses_become_the_start_page(path: str) -> None:
    assert redirects.local(path) == "/"


def at(callback: str) -> WebOptions:
    return replace(OPTIONS, oidc=replace(OPTIONS.oidc, callback_url=callback))


class TestHosts:
    @pytest.mark.parametrize("name", ["portal.example", "PORTAL.example", "portal.example:443"])
    def test_ours(self, name: str) -> None:
        assert host.expected(name, "/resources", OPTIONS)

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "evil.example",
            "portal.example.evil.example",
            "portal.example:8443",
            "portal.example@evil.example",
            "evil.example/portal.example",
            "portal.example,evil.example",
            "portal.example:443:443",
            "portal.example:99999",
            "localhost",
            "127.0.0.1:8080",
            "[::1]",
            "portal.example ",
            "[portal.example]",
        ],
    )
    def test_others(self, name: str) -> None:
        assert not host.expected(name, "/resources", OPTIONS)
        assert host.expected(name, "/healthz", OPTIONS), "probes ask by address"

    def test_the_advertised_address_is_ours_as_well(self) -> None:
        options = replace(OPTIONS, authorize_url="https://login.example:8443/authorize")
        assert host.expected("login.example:8443", "/authorize", options)
        assert not host.expected("login.example", "/authorize", options)

    @pytest.mark.parametrize("callback", ["localhost", "127.0.0.1", "[::1]"])
    @pytest.mark.parametrize("asked", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
    def test_names_of_this_machine(self, callback: str, asked: str) -> None:
        options = at(f"http://{callback}:8080/callback")
        same = asked.lower() == callback
        assert host.by_another_name(f"{asked}:8080", options) is not same
        assert host.expected(f"{asked}:8080", "/resources", options) is same
        assert not host.by_another_name(f"{asked}:8081", options)
        assert not host.by_another_name(asked, options)

    def test_the_port_of_the_scheme_need_not_be_named(self) -> None:
        assert host.by_another_name("localhost", at("http://127.0.0.1/callback"))
        assert host.by_another_name("localhost:443", at("https://127.0.0.1/callback"))

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "evil.example:8080",
            "localhost.evil.example:8080",
            "evil.localhost:8080",
            "127.0.0.1.nip.io:8080",
            "127.0.0.2:8080",
            "127.1:8080",
            "0.0.0.0:8080",
            "[::]:8080",
            "[::ffff:127.0.0.1]:8080",
            "localhost:8080@evil.example",
            "localhost.:8080",
        ],
    )
    def test_names_that_others_may_point_here_stay_foreign(self, name: str) -> None:
        """DNS rebinding: whoever owns a name decides where it leads."""
        options = at("http://127.0.0.1:8080/callback")
        assert not host.by_another_name(name, options)
        assert not host.expected(name, "/resources", options)

    def test_elsewhere_this_machine_has_no_name(self) -> None:
        assert not host.by_another_name("localhost", OPTIONS)
        assert not host.by_another_name("portal.example", at("http://localhost:8080/callback"))

    def test_this_machine(self) -> None:
        assert host.loopback("localhost:1")
        assert host.loopback("[::1]")
        assert not host.loopback("localhost.evil.example")

    @pytest.mark.parametrize(
        ("proxies", "tls", "forwarded", "found"),
        [
            (0, True, "http", "https"),
            (0, False, "http", "https"),
            (1, False, "http", "http"),
            (1, False, "https, http", "http"),
            (1, False, "gopher", "https"),
            (1, False, "", "https"),
        ],
    )
    def test_the_scheme(self, proxies: int, tls: bool, forwarded: str, found: str) -> None:
        options = replace(OPTIONS, trusted_proxies=proxies)
        assert host.scheme(options, tls=tls, forwarded=forwarded) == found


class TestHeaders:
    def test_every_answer(self) -> None:
        found = headers.security("/clusters", secure=True)
        assert found["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
            " form-action 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; frame-ancestors 'none'"
        )
        assert found["X-Frame-Options"] == "DENY"
        assert found["Referrer-Policy"] == "no-referrer"
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Cross-Origin-Opener-Policy"] == "same-origin"
        assert found["Strict-Transport-Security"].startswith("max-age=")
        assert found["Cache-Control"] == "no-store"

    def test_no_promise_of_tls_without_it(self) -> None:
        assert "Strict-Transport-Security" not in headers.security("/", secure=False)

    @pytest.mark.parametrize("path", ["/resources", "/bind"])
    def test_what_go_sends(self, path: str) -> None:
        found = headers.security(path, secure=True)
        assert found["Cache-Control"] == "no-cache, no-store, must-revalidate, max-age=0"
        assert found["X-Accel-Expires"] == "0"
        assert found["Expires"].startswith("Thu, 01 Jan 1970 00:00:00")

    def test_static_files_alone_may_be_kept(self) -> None:
        assert "Cache-Control" not in headers.security("/static/a.css", secure=True, cacheable=True)
        assert headers.security("/clusters", secure=True, cacheable=True)["Cache-Control"] == "no-store"
        assert headers.security("/static/a.css", secure=True)["Cache-Control"] == "no-store"
        assert "Cache-Control" not in headers.security("/favicon.ico", secure=True, cacheable=True)
        assert headers.security("/favicon.ico/x", secure=True, cacheable=True)["Cache-Control"] == "no-store"
