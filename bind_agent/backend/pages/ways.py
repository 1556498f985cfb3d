"""The way on from a page of an error: one button, to where its person can do something about it.

A command line that waits is never lost on the way: its session id stays in the address. Nothing leads to the address of
a form, which browsers would open with a GET that does not exist.
"""

from typing import Final

from aiohttp import web
from multidict import MultiMapping

from bind_agent.backend.http import offers, redirects
from bind_agent.backend.http.parameters import given, one
from bind_agent.backend.http.refusal import Refusal
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.pages import links

_HOME: Final = "Go to the start page"
_WORDS: Final = {
    links.HOME: _HOME,
    links.CATALOGUE: "Open the catalogue",
    links.CLUSTERS: "Look at your clusters",
    links.ADMIN_TENANTS: "Look at all tenants",
}
_ASKED_AGAIN: Final = frozenset({"not_confirmed", "bad_choice"})
"""Refusals of a form that the page with the form cures."""

_NO_QUESTION: Final = frozenset({links.LOGOUT, "/redeem"})
"""What is sent to these has no page of its own that asks."""


def onward(request: web.Request, refusal: Refusal, session: Session | None) -> tuple[str, str]:
    """Where the button leads, and its words."""
    link, words = _onward(request, refusal, session)
    sid = waiting(request, session)
    if link == links.CATALOGUE:
        link = links.catalogue(sid)
    return link, refusal.link_text or words


def waiting(request: web.Request, session: Session | None) -> str:
    """Session id of the command line that a request is about, if it waits for this browser; else empty."""
    if session is None:
        return ""
    sid = _value(given(request), "s")
    return sid if session.bind(sid) is not None else ""


def _onward(request: web.Request, refusal: Refusal, session: Session | None) -> tuple[str, str]:
    posted = request.method == "POST"
    if refusal.link:
        return refusal.link, _words(refusal.link)
    if refusal.login:
        return links.login(_question(request)), "Sign in"
    if refusal.retry and not posted:
        return redirects.local(request.rel_url.raw_path_qs), "Try again"
    if posted and (refusal.retry or refusal.word in _ASKED_AGAIN):
        link = _question(request)
        return link, _WORDS.get(link, "Try again" if refusal.retry else "Open the page again")
    link = links.CATALOGUE if session is not None else links.HOME
    return link, _WORDS[link]


def _question(request: web.Request) -> str:
    """The page on which one comes to a request: a form's page asks at the same address, but for a few."""
    path = request.rel_url.raw_path
    if path == links.BIND:
        return _bind(given(request))
    if path in _NO_QUESTION:
        return links.HOME
    return redirects.local(path if request.method == "POST" else request.rel_url.raw_path_qs)


def _bind(values: MultiMapping[object]) -> str:
    """The question before a bind; without a proof, which a later session would not believe."""
    try:
        kind = offers.kind_of(_value(values, "resource"), _value(values, "group"))
    except Refusal:
        return links.CATALOGUE
    return links.bind(sid=_value(values, "s"), plural=kind.plural, group=kind.group)


def _value(values: MultiMapping[object], name: str) -> str:
    try:
        return one(values, name, longest=256)
    except Refusal:
        return ""


def _words(link: str) -> str:
    path = link.partition("?")[0]
    if path.startswith(f"{links.CLUSTERS}/"):
        return "Look at this cluster"
    return _WORDS.get(path, "Start again")
