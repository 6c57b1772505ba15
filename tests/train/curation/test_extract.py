import io

from firesteel.train.curation.extract import (
    PIECE,
    gutenberg_pieces,
    plain_wikitext,
    wikiextractor_pages,
    wikipedia_pages,
)

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">
<siteinfo><sitename>Wikipedia</sitename></siteinfo>
<page><title>Flint</title><ns>0</ns><id>7</id><revision><id>1</id><text>'''Flint''' is a stone.</text></revision></page>
<page><title>Flints</title><ns>0</ns><id>8</id><redirect title="Flint"/><revision><text>#R</text></revision></page>
<page><title>Talk:Flint</title><ns>1</ns><id>9</id><revision><text>Is it?</text></revision></page>
<page><title>Steel</title><ns>0</ns><id>10</id><revision><text>Steel is iron.</text></revision></page>
</mediawiki>"""

WIKITEXT = """{{Infobox rock|name=Flint}}
[[File:Flint.jpg|thumb|A piece of [[flint]] from Kent]]
'''Flint''' ({{lang|la|silex}}) is a form of [[quartz]].<ref>Smith, ''Stones'', p. 4</ref> It makes
[[spark (fire)|sparks]].

== Use ==
People made tools of it.
{| class="wikitable"
| cell one || cell two
|}
=== Fire ===
It lights tinder.

== See also ==
* [[Chert]]

[[Category:Rocks]]
"""


def test_a_dump_gives_its_articles_without_redirects_and_talk():
    pages = list(wikipedia_pages(io.BytesIO(DUMP.encode())))
    assert pages == [("7", "Flint", "'''Flint''' is a stone."), ("10", "Steel", "Steel is iron.")]


def test_wikitext_becomes_prose():
    assert plain_wikitext("Flint", WIKITEXT).splitlines() == [
        "Flint",
        "",
        "Flint is a form of quartz. It makes",
        "sparks.",
        "Use",
        "People made tools of it.",
        "Fire",
        "It lights tinder.",
    ]


def test_both_forms_of_wikiextractor_are_read():
    blocks = (
        '<doc id="12" url="u" title="Flint">\nFlint\n\nA stone.\n</doc>\n<doc id="13" title="Steel">\nIron.\n</doc>\n'
    )
    lines = '{"id": "12", "url": "u", "title": "Flint", "text": "A stone."}\n'
    assert list(wikiextractor_pages(io.StringIO(blocks))) == [("12", "Flint\n\nA stone.\n"), ("13", "Iron.\n")]
    assert list(wikiextractor_pages(io.StringIO(lines))) == [("12", "Flint\n\nA stone.")]


def test_a_gutenberg_file_loses_its_header_footer_and_line_width():
    long = "The first line of this paragraph was cut at the width of a page,\nand this is how it _went on_ to its end."
    verse = "Tinder and flint,\n  steel and a hint."
    text = (
        "The Project Gutenberg eBook of Sparks\nYou may copy it.\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK SPARKS ***\n\n[Illustration: a fire]\n\n"
        f"{long}\n\n       * * * * *\n\n{verse}\n\n*** END OF THE PROJECT GUTENBERG EBOOK SPARKS ***\nSection 1."
    )
    assert list(gutenberg_pieces(text.replace("\n", "\r\n"))) == [
        "The first line of this paragraph was cut at the width of a page, and this is how it went on to its end.\n\n"
        + verse
    ]


def test_a_book_is_cut_between_paragraphs():
    paragraph = "A sentence that fills the page. " * 40
    pieces = list(gutenberg_pieces("\n\n".join([paragraph] * 40)))
    assert len(pieces) > 1 and all(len(piece) <= PIECE for piece in pieces)
    assert sum(piece.count("fills") for piece in pieces) == 40 * 40
    assert all(piece.startswith("A sentence") for piece in pieces)
