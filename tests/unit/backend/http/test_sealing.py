"""What browsers keep for us: sealed for one purpose, bounded, with keys that can be rotated (threats A50, A52)."""

import json
import random
import string
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.backend.http import codes, flowstate, sessions
from bind_agent.backend.http.cookies import MAX_CHUNKS, Cookies, TooLarge
from bind_agent.backend.http.flowstate import StateBroken, StateExpired
from bind_agent.backend.http.keyring import Keyring, SealBroken
from bind_agent.backend.http.sessions import KEPT, Bind, Session
from bind_agent.backend.options.web import CookieKeys
from bind_agent.backend.person import Person
from cli.login.answers import OneTimeCode, judge
from cli.login.session import begin

pytestmark = pytest.mark.unit

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEYRING = Keyring(CookieKeys((b"s" * 32,)))
ANNA = Person("https://issuer.example", "anna", "Anna", "anna@example.org", True, ("a", "b"))
BIND = Bind("sid1", "c1", "http://localhost:1/callback", "x" * 43)


class TestKeyring:
    @given(st.binary(max_size=500))
    def test_what_was_sealed_comes_out(self, data: bytes) -> None:
        assert KEYRING.open("p", KEYRING.seal("p", data, NOW)) == data

    def test_for_one_purpose_only(self) -> None:
        with pytest.raises(SealBroken):
            KEYRING.open("state", KEYRING.seal("session", b"x", NOW))

    def test_what_was_opened_before_is_still_for_one_purpose_only(self) -> None:
        text = KEYRING.seal("session", b"x", NOW)
        assert KEYRING.open("session", text) == KEYRING.open("session", text) == b"x"
        with pytest.raises(SealBroken):
            KEYRING.open("state", text)
        with pytest.raises(SealBroken):
            Keyring(CookieKeys((b"n" * 32,))).open("session", text)

    def test_no_character_can_be_changed(self) -> None:
        text = KEYRING.seal("p", b"content", NOW)
        # The last character has bits that mean nothing.
        for at in range(len(text) - 1):
            other = "A" if text[at] != "A" else "B"
            with pytest.raises(SealBroken):
                KEYRING.open("p", text[:at] + other + text[at + 1 :])

    @pytest.mark.parametrize("text", ["", "x", "é" * 20, "A" * 100_000, "=" * 10, "\0"])
    def test_nonsense(self, text: str) -> None:
        with pytest.raises(SealBroken):
            KEYRING.open("p", text)

    def test_keys_rotate_without_ending_sessions(self) -> None:
        old = Keyring(CookieKeys((b"o" * 32,), (b"e" * 16,)))
        between = Keyring(CookieKeys((b"n" * 64, b"o" * 32), (b"E" * 32, b"e" * 16)))
        new = Keyring(CookieKeys((b"n" * 64,), (b"E" * 32,)))
        before, after = old.seal("p", b"x", NOW), between.seal("p", b"y", NOW)
        assert between.open("p", before) == b"x"
        assert new.open("p", after) == b"y"
        with pytest.raises(SealBroken):
            new.open("p", before)
        proof = old.proof("csrf", "session", "bind")
        assert between.proves(proof, "csrf", "session", "bind")
        assert not new.proves(proof, "csrf", "session", "bind")

    def test_both_kinds_of_keys_count(self) -> None:
        with pytest.raises(SealBroken):
            Keyring(CookieKeys((b"s" * 32,), (b"e" * 16,))).open("p", KEYRING.seal("p", b"x", NOW))

    def test_without_a_key_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="key"):
            Keyring(CookieKeys(()))

    def test_proofs_are_for_exactly_these_parts(self) -> None:
        proof = KEYRING.proof("csrf", "ab", "c")
        assert len(proof) == 43
        assert KEYRING.proves(proof, "csrf", "ab", "c")
        for parts in [("a", "bc"), ("ab", "c", ""), ("abc",), ("ab", "d")]:
            assert not KEYRING.proves(proof, "csrf", *parts)
        assert not KEYRING.proves(proof, "other", "ab", "c")
        for nonsense in ("é", "\udcff", ""):
            assert not KEYRING.proves(nonsense, "csrf", "ab", "c")


class TestCookies:
    def test_over_tls_they_belong_to_this_host_alone(self) -> None:
        response = web.Response()
        Cookies(secure=True).set(response, Cookies(secure=True).browser, "v", max_age=5)
        (text,) = [one.OutputString() for one in response.cookies.values()]
        assert text.startswith("__Host-klutch-bind-browser=v")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=5"} <= set(text.split("; "))
        assert "Domain" not in text

    def test_without_tls_the_prefix_goes(self) -> None:
        cookies = Cookies(secure=False)
        response = web.Response()
        cookies.set(response, cookies.session, "v", max_age=5)
        assert cookies.session == "klutch-bind-session"
        assert "Secure" not in next(iter(response.cookies.values())).OutputString()

    @pytest.mark.parametrize("length", [1, 3600, 3601, 3600 * MAX_CHUNKS])
    def test_long_values_are_divided(self, length: int) -> None:
        cookies, response = Cookies(secure=True), web.Response()
        text = "".join(chr(97 + n % 26) for n in range(length))
        cookies.write(response, text, max_age=60)
        kept = {name: one.value for name, one in response.cookies.items()}
        assert cookies.read(kept) == text
        assert all(len(one.OutputString()) < 4096 for one in response.cookies.values())

    def test_longer_ones_are_refused(self) -> None:
        with pytest.raises(TooLarge):
            Cookies(secure=True).write(web.Response(), "x" * (3600 * MAX_CHUNKS + 1), max_age=60)

    def test_a_short_value_ends_the_rest_of_a_long_one(self) -> None:
        cookies, first, second = Cookies(secure=True), web.Response(), web.Response()
        cookies.write(first, "a" * 4000, max_age=60)
        cookies.write(second, "b", max_age=60)
        jar = {name: one.value for name, one in first.cookies.items()}
        jar |= {name: one.value for name, one in second.cookies.items()}
        assert cookies.read(jar) == "b"

    def test_forgetting_names_all(self) -> None:
        cookies, response = Cookies(secure=True), web.Response()
        cookies.forget(response)
        assert set(response.cookies) == {*cookies.names(), cookies.browser, cookies.notice}
        assert all(int(one["max-age"]) == 0 for one in response.cookies.values())

    def test_a_gap_ends_the_value(self) -> None:
        cookies = Cookies(secure=False)
        jar = SimpleCookie("klutch-bind-session=a; klutch-bind-session-2=c")
        assert cookies.read({name: one.value for name, one in jar.items()}) == "a"


class TestSessions:
    def test_there_and_back(self) -> None:
        session = sessions.with_bind(sessions.new(ANNA, NOW), BIND)
        assert sessions.unseal(KEYRING, sessions.seal(KEYRING, session, NOW), NOW) == session
        assert session.bind("sid1") == BIND
        assert session.bind("other") is None

    def test_ids_are_new_each_time(self) -> None:
        assert len({sessions.new(ANNA, NOW).id for _ in range(100)}) == 100

    def test_it_ends_after_an_hour(self) -> None:
        text = sessions.seal(KEYRING, sessions.new(ANNA, NOW), NOW)
        assert sessions.unseal(KEYRING, text, NOW + timedelta(minutes=59)) is not None
        assert sessions.unseal(KEYRING, text, NOW + timedelta(hours=1)) is None

    def test_the_latest_binds_are_remembered(self) -> None:
        session = sessions.new(ANNA, NOW)
        for number in range(KEPT + 2):
            session = sessions.with_bind(session, replace(BIND, sid=f"s{number}"))
        session = sessions.with_bind(session, replace(BIND, sid="s4", cluster_id="other"))
        assert [one.sid for one in session.binds] == ["s2", "s3", "s5", "s6", "s4"]
        assert session.bind("s4") == replace(BIND, sid="s4", cluster_id="other")

    @pytest.mark.parametrize(
        "plain",
        [
            b"",
            b"not compressed",
            zlib.compress(b"[]"),
            zlib.compress(json.dumps({"id": 1}).encode()),
            zlib.compress(b"x" * 10_000_000),
        ],
        ids=["empty", "plain", "list", "types", "bomb"],
    )
    def test_other_contents_are_no_session(self, plain: bytes) -> None:
        assert sessions.unseal(KEYRING, KEYRING.seal(sessions.PURPOSE, plain, NOW), NOW) is None

    def test_nothing_secret_in_its_repr(self) -> None:
        session = sessions.new(ANNA, NOW)
        assert session.id not in repr(session)

    def test_hundreds_of_groups_fit(self) -> None:
        import uuid

        groups = tuple(str(uuid.uuid4()) for _ in range(300))
        text = sessions.seal(KEYRING, sessions.new(replace(ANNA, groups=groups), NOW), NOW)
        Cookies(secure=True).write(web.Response(), text, max_age=60)

    def test_without_cookies_nobody(self) -> None:
        assert sessions.read(Cookies(secure=True), KEYRING, {}, NOW) is None


class TestStates:
    MARK = flowstate.new_mark()

    def flow(self) -> str:
        made = flowstate.begin(nonce="n", verifier="v", mark=self.MARK, now=NOW, bind=BIND)
        return flowstate.seal(KEYRING, made, NOW)

    def test_there_and_back(self) -> None:
        found = flowstate.unseal(KEYRING, self.flow(), mark=self.MARK, now=NOW + timedelta(minutes=9))
        assert (found.nonce, found.verifier, found.bind) == ("n", "v", BIND)
        assert repr(found) == "Flow()"

    @pytest.mark.parametrize("mark", ["", "other", "m" * 43])
    def test_another_browser(self, mark: str) -> None:
        with pytest.raises(StateBroken):
            flowstate.unseal(KEYRING, self.flow(), mark=mark, now=NOW)

    def test_too_late(self) -> None:
        with pytest.raises(StateExpired) as caught:
            flowstate.unseal(KEYRING, self.flow(), mark=self.MARK, now=NOW + timedelta(minutes=10))
        assert caught.value.flow.bind == BIND

    def test_too_late_and_of_another_browser_tells_nothing(self) -> None:
        with pytest.raises(StateBroken):
            flowstate.unseal(KEYRING, self.flow(), mark="x", now=NOW + timedelta(hours=1))

    def test_a_mark_that_is_no_text(self) -> None:
        with pytest.raises(StateBroken):
            flowstate.unseal(KEYRING, self.flow(), mark="\udcff" * 43, now=NOW)

    @pytest.mark.parametrize("state", ["", "x", "eyJyZWRpcmVjdFVSTCI6Imh0dHA6Ly9ldmlsIn0="])
    def test_forged(self, state: str) -> None:
        with pytest.raises(StateBroken):
            flowstate.unseal(KEYRING, state, mark=self.MARK, now=NOW)

    def test_a_session_is_no_state(self) -> None:
        text = sessions.seal(KEYRING, sessions.new(ANNA, NOW), NOW)
        with pytest.raises(StateBroken):
            flowstate.unseal(KEYRING, text, mark=self.MARK, now=NOW)

    def test_it_stays_short(self) -> None:
        assert len(self.flow()) < 700

    def test_marks(self) -> None:
        assert flowstate.is_mark(self.MARK)
        assert not flowstate.is_mark(self.MARK + "x")
        assert self.MARK not in flowstate.digest(self.MARK)


class TestCodes:
    SESSION = Session("id", ANNA, int(NOW.timestamp()) + 3600, (BIND,))

    def test_there_and_back(self) -> None:
        code = codes.new(self.SESSION, BIND, group="g", plural="p", now=NOW)
        found = codes.unseal(KEYRING, codes.seal(KEYRING, code, NOW))
        assert found == code
        assert found.person == ANNA
        assert repr(found) == "Code()"
        assert not found.expired(NOW + timedelta(seconds=59))
        assert found.expired(NOW + timedelta(seconds=60))

    def test_our_cli_takes_every_code_whose_session_fits_into_cookies(self) -> None:
        # The worst case: what fits, and cannot be compressed.
        draw = random.Random(1)
        groups: tuple[str, ...] = ()
        cookies, session = Cookies(secure=True), self.SESSION
        while True:
            groups = (*groups, "".join(draw.choices(string.ascii_letters + string.digits, k=40)))
            larger = replace(session, person=replace(ANNA, groups=groups))
            try:
                cookies.write(web.Response(), sessions.seal(KEYRING, larger, NOW), max_age=5)
            except TooLarge:
                break
            session = larger
        attempt = begin("cluster", back_channel=True)
        bind = replace(BIND, redirect="http://127.0.0.1:1/" + "x" * 1000)
        code = codes.seal(KEYRING, codes.new(session, bind, group="g" * 253, plural="p" * 63, now=NOW), NOW)
        assert len(code) > 8192
        assert judge(attempt, {"s": [attempt.session_id], "code": [code]}) == OneTimeCode(code)

    def test_a_session_is_no_code(self) -> None:
        with pytest.raises(codes.CodeBroken):
            codes.unseal(KEYRING, sessions.seal(KEYRING, self.SESSION, NOW))
