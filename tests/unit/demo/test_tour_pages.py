"""What is read of the terminal and of pages."""

import pytest

from bind_agent.devcluster.demo.tour_pages import printed_address, read_page

pytestmark = pytest.mark.unit

BIND = "/bind?s=abc&amp;resource=postgresqls&amp;group=databases.example.com&amp;t=proof"
PAGE = f"""<!doctype html><title>Catalogue</title><h1>Cata<em>logue</em></h1>
<p aria-hidden="true">404</p><p>Two   APIs.<p>Both free.</p>
<a href="/resources/x">Details</a> <a name="here">no link</a>
<a class="button postgresqls" href="/bind?resource=postgresqls&amp;group=other.example&amp;s=abc">Other</a>
<a class="button postgresqls" href="{BIND}">Bind<span class="sr_only"> PostgreSQL</span></a>"""


def test_the_anchor_of_an_api_is_found_by_class_and_group() -> None:
    page = read_page(PAGE)
    assert (page.heading, page.words) == ("Catalogue", "Two APIs. Both free.")
    assert len(page.anchors) == 3
    anchor = page.bind("postgresqls", "databases.example.com")
    assert anchor is not None
    assert (anchor.href, anchor.text) == (BIND.replace("&amp;", "&"), "Bind PostgreSQL")


@pytest.mark.parametrize(
    "anchor",
    [
        f'<a class="databases" href="{BIND}">x</a>',
        '<a class="postgresqls" href="/resources/postgresqls.databases.example.com">x</a>',
        '<a class="postgresqls" href="/bind?s=1&amp;resource=postgresqls">x</a>',
        f'<a class="postgresqls" href="/elsewhere{BIND[5:]}">x</a>',
    ],
    ids=["class", "details", "group", "path"],
)
def test_other_anchors_do_not_bind(anchor: str) -> None:
    assert read_page(anchor).bind("postgresqls", "databases.example.com") is None


def test_words_are_shortened_and_pages_need_not_have_any() -> None:
    assert len(read_page(f"<p>{'word ' * 1000}</p>").words) == 301
    empty = read_page("no markup & no <heading")
    assert (empty.heading, empty.words, empty.anchors) == ("", "", ())


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("    http://127.0.0.1:1/authorize?s=1&u=2\n", "http://127.0.0.1:1/authorize?s=1&u=2"),
        ("    https://bind.example.com/authorize", "https://bind.example.com/authorize"),
        ("log in at Demo Provider; open this address in a browser:", ""),
        ("see http://127.0.0.1:1/", ""),
        ("http://127.0.0.1:1/ answered 404", ""),
        ("", ""),
    ],
)
def test_the_printed_address_stands_alone_and_indented(line: str, address: str) -> None:
    assert printed_address(line) == address
