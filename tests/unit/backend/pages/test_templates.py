"""The HTML itself: nothing inline, nothing from elsewhere, everything escaped, no class that a machine could mistake.

Every page in every state comes from `tests.fakes.pages_preview`. Excluded: what a browser makes of it (tests/browser).
"""

import hashlib
import re
from html.parser import HTMLParser
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl

import jinja2
import pytest

from bind_agent.backend.pages import assets, catalogue
from bind_agent.backend.pages.environment import Pages
from tests.fakes import pages_preview as preview
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit

STATIC = resources.files("bind_agent.backend.pages").joinpath("static")
# `g` holds shapes only in drawings; the rest is the whole vocabulary of the templates.
VOID = {"meta", "link", "input", "br", "wbr", "path", "rect", "circle"}


class Reader(HTMLParser):
    """Collects tags with attributes, and complains about what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def page(path: str) -> Reader:
    plain, _, query = path.partition("?")
    return read(preview.page(plain, dict(parse_qsl(query)))[1])


@pytest.mark.parametrize("path", preview.PATHS)
def test_nothing_inline_and_nothing_from_elsewhere(path: str) -> None:
    for tag, attributes in page(path).tags:
        assert tag not in {"style", "iframe", "object", "embed", "base"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert not [name for name in attributes if name.startswith(("hx-on", "hx-vals", "hx-headers"))]
        for name in ("href", "src", "action", "hx-get"):
            value = attributes.get(name, "/")
            assert value.startswith(("/", "#")), (tag, name, value)
            assert not value.startswith("//")
        if tag == "script":
            assert attributes["src"].startswith(("/static/htmx.min.js?v=", "/static/live.js?v="))


@pytest.mark.parametrize("path", preview.PATHS)
def test_classes_of_ours_have_an_underscore_and_no_resource_can(path: str) -> None:
    plurals = {offer.plural for offer in preview.offers()}
    for _, attributes in page(path).tags:
        for one in attributes.get("class", "").split():
            assert "_" in one or one in plurals, one


@pytest.mark.parametrize("path", preview.PATHS)
def test_ids_are_unique_and_labels_lead_somewhere(path: str) -> None:
    tags = page(path).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for name in ("aria-labelledby", "for"):
            assert set(attributes.get(name, "").split()) <= set(ids)


@pytest.mark.parametrize("path", preview.PATHS)
def test_one_place_is_the_current_page(path: str) -> None:
    html = preview.page(path.partition("?")[0], dict(parse_qsl(path.partition("?")[2])))[1]
    assert html.count('aria-current="page"') <= 1
    for nav in re.findall(r"<nav.*?</nav>", html, re.DOTALL):
        assert nav.count("aria-current") <= 1
    if path.startswith("/admin") and "cluster-" not in path:
        assert html.count('aria-current="page"') == 1
        assert html.count('aria-current="true"') == 1


def test_the_start_page_says_where_the_command_comes_from() -> None:
    text = page("/").text
    assert "pip install bind-agent" in text
    assert "kubectl bind https://" in text


@pytest.mark.parametrize("path", preview.PATHS)
def test_forms_that_change_something_carry_a_token(path: str) -> None:
    html = preview.page(path.partition("?")[0], dict(parse_qsl(path.partition("?")[2])))[1]
    for form in re.findall(r'<form[^>]*method="post".*?</form>', html, re.DOTALL):
        assert 'name="csrf" value="csrf-' in form


def test_the_anchor_that_machines_click() -> None:
    anchors = {
        one: attributes["href"]
        for tag, attributes in page("/resources?s=sid-1").tags
        for one in attributes.get("class", "").split()
        if tag == "a" and "_" not in one
    }
    assert set(anchors) == {offer.plural for offer in preview.offers()}
    assert anchors["buckets"] == "/bind?s=sid-1&resource=buckets&group=storage.northwind.example&t=proof-1"


def test_without_a_waiting_command_line_there_is_no_bind_anchor() -> None:
    for path in ("/resources", "/resources?s=gone"):
        assert not [one for one in page(path).tags if one[1].get("href", "").startswith("/bind")]


@pytest.mark.parametrize(
    ("offered", "bindable"),
    [
        ([world.template("dbs", "a.example", world.claim("pods"))], False),
        ([world.template("dbs", "a.example", name=name) for name in ("first", "second")], False),
        ([world.template("dbs", "a.example", name="only")], True),
    ],
    ids=["refused-claim", "ambiguous", "settled"],
)
def test_an_offer_in_trouble_has_no_bind_anchor(offered: list[Any], bindable: bool) -> None:
    crd = world.crd("dbs", "a.example", "Db")
    offer = catalogue.offers(
        offered,
        {"dbs.a.example": crd}.get,
        policy=catalogue.Policy(),
        provider="A",
        allowed=lambda _: True,
    )
    html = preview.PAGES.render(
        "catalogue.html",
        preview.SIGNED_IN,
        offers=offer,
        cards=preview.PAGES.part("cards.html", offers=offer, waiting=preview.WAITING),
        total=1,
        search="",
        waiting=preview.WAITING,
        others=(),
        lost=False,
        bind_url="https://x/export",
    )
    assert ("Cannot be bound at the moment" in html) is not bindable
    assert ("/bind?" in html) is bindable


@pytest.mark.parametrize("name", list(preview.hostile_pages()))
def test_hostile_text_is_escaped_and_stripped(name: str) -> None:
    html = preview.hostile_pages()[name]
    reader = read(html)
    assert not {"img"} & {tag for tag, _ in reader.tags}
    assert [attributes.get("src", "") for tag, attributes in reader.tags if tag == "script"] == [
        preview.PAGES.assets[name].url for name in ("htmx.min.js", "live.js")
    ]
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    shown = [reader.text, *(attributes.get("title", "") for _, attributes in reader.tags)]
    assert not set("".join(shown)) & set("\u202e\x1b")


def test_a_missing_name_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(jinja2.UndefinedError):
        Pages().render("clusters.html", preview.SIGNED_IN)


def test_htmx_is_what_the_note_says() -> None:
    body = STATIC.joinpath("htmx.min.js").read_bytes()
    note = STATIC.joinpath("README.md").read_text()
    assert hashlib.sha256(body).hexdigest() in note
    version = re.search(rb'version:"([0-9.]+)"', body)
    assert version is not None
    assert f"htmx {version[1].decode()}" in note
    assert "Zero-Clause BSD" in STATIC.joinpath("LICENSE.htmx").read_text()


def test_assets_are_addressed_by_content() -> None:
    found = assets.load()
    assert set(found) == {"pages.css", "htmx.min.js", "live.js", "icon.svg"}
    for asset in found.values():
        digest = hashlib.sha256(asset.body).hexdigest()
        assert asset.url == f"/static/{asset.name}?v={digest[:16]}"


def test_the_sheet_names_no_class_without_an_underscore_and_fetches_nothing() -> None:
    css = STATIC.joinpath("pages.css").read_text()
    assert "url(" not in css
    assert "@import" not in css
    for media in ("prefers-color-scheme: dark", "prefers-reduced-motion", "max-width: 40rem"):
        assert media in css
    assert ":focus-visible" in css
    names = re.findall(r"\.([a-zA-Z][a-zA-Z0-9_-]*)", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))
    assert [name for name in names if "_" not in name] == []
