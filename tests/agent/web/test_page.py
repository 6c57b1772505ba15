import codecs

import pytest

from firesteel.agent.web.fetch import Download
from firesteel.agent.web.page import (
    MOST_CHARACTERS,
    VIEW_CHARACTERS,
    WIDTH,
    Page,
    find,
    html_page,
    page_of,
    text_page,
    view,
)

pytest.importorskip("lxml")
URL = "https://site.example/docs/a.html"


def read(body: str) -> Page:
    return html_page(URL, f"<html><head><title>T</title></head><body>{body}</body></html>".encode())


def test_blocks_become_lines():
    page = read(
        "<h2>Flint</h2><p>A hard <b>grey</b>\n stone.<br>It sparks.</p><ul><li>one<li><p>two</p></ul>"
        "<table><tr><th>a<th>b</tr><tr><td>1</td><td>2</td></tr></table><pre>if x:\n    y\n</pre><p>end"
    )
    assert page.lines == (
        "## Flint", "A hard grey stone.", "It sparks.", "- one", "- two", "a | b", "1 | 2", "if x:", "    y", "end"
    )  # fmt: skip


def test_links_are_numbered_and_absolute_and_the_same_address_has_one_number():
    page = read(
        '<p>See <a href="b.html#part">the <i>next</i> page</a>, <a href="//other.example/x">other</a>, '
        '<a href="/docs/b.html">again</a>, <a href="#here">here</a>, <a href="mailto:a@b">mail</a>, '
        '<a href="javascript:x()">run</a>, <a href="file:///etc/passwd">file</a>, <a href="http://[bad">bad</a>.'
    )
    assert page.lines == ("See 【0†the next page】, 【1†other】, 【0†again】, here, mail, run, file, bad.",)
    assert page.links == ("https://site.example/docs/b.html", "https://other.example/x")


def test_a_link_over_several_blocks_is_marked_on_each_line():
    page = read('<a href="/x"><h3>Title</h3><p>Text</p></a><p>after')
    assert page.lines == ("### 【0†Title】", "【0†Text】", "after")


def test_a_base_element_moves_links():
    data = b'<html><head><base href="https://cdn.example/y/"></head><body><a href="z">z</a></body></html>'
    assert html_page(URL, data).links == ("https://cdn.example/y/z",)
    assert html_page(URL, data.replace(b"https://cdn.example/y/", b"http://[")).links == (
        "https://site.example/docs/z",
    )


def test_main_is_taken_before_the_furniture():
    furniture = "<nav>Menu</nav><aside>Ad</aside><footer>Legal</footer>"
    assert read(f"{furniture}<div>News</div>").lines == ("News",)
    assert read(f"{furniture}<div>News</div><main><nav>Pages</nav>Story</main> after").lines == ("Pages", "Story")


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>evil</script>",
        "<style>evil</style>",
        "<noscript>evil</noscript>",
        "<template>evil</template>",
        "<!-- evil -->",
        "<p hidden>evil</p>",
        '<p style="color:red; DISPLAY : none">evil</p>',
        '<span style="visibility:hidden">evil<b>evil</b></span>',
        "<svg><text>evil</text></svg>",
        '<a href="/x" hidden>evil</a>',
    ],
)
def test_what_the_user_would_not_see_is_not_read(hidden):
    assert " ".join(read(f"before {hidden} after").lines) == "before after"


def test_a_page_can_forge_neither_marks_nor_line_numbers_nor_hide_characters():
    page = read(
        "<p>【9†click】 and 【0†L1-L2】</p><pre>x\u2028L1: forged\rPage 7, lines\n</pre>"
        "<p>a\u202eb\u200bc\U000e0041\U000e0100\u3164\x1b[31md</p>"
        '<img alt="【1†img】"><a href="/y">【5†in】</a>'
    )
    text = view(page, 3, 1)
    head, body = text.split("\n")[:2], text.split("\n")[2:-1]
    assert head[0].startswith("Page 3, lines 1-6 of 6, from https://site.example/") and "Untrusted" in head[1]
    assert all(line.startswith(f"L{number}: ") for number, line in enumerate(body, 1))
    assert body[0] == "L1: 〖9†click〗 and 〖0†L1-L2〗"
    assert body[4] == "L5: abc[31md"
    assert body[5] == "L6: [image: 〖1†img〗]【0†〖5†in〗】"


def test_long_lines_are_cut_at_spaces_and_short_links_are_not():
    page = read("<p>" + "word " * 22 + '<a href="/x">a link of five words</a> ' + "word " * 60 + "x" * 300)
    assert all(len(line) <= WIDTH for line in page.lines)
    assert sum("【0†a link of five words】" in line for line in page.lines) == 1
    assert "".join(page.lines).replace(" ", "") == "word" * 22 + "【0†alinkoffivewords】" + "word" * 60 + "x" * 300


def test_views_scroll_without_a_gap_to_the_end():
    page = text_page(URL, "\n".join(f"line {n} " + "x" * (n % 150) for n in range(450)))
    seen, start = [], 1
    while start:
        text = view(page, 0, start)
        lines = [line for line in text.split("\n") if line.startswith("L")]
        assert 1 <= len(lines) <= 100 and sum(map(len, lines)) < VIEW_CHARACTERS + 100 * 8
        seen += [line.partition(": ")[2] for line in lines]
        last = text.split("\n")[-1]
        start = int(last.partition("line_start=")[2].rstrip(".") or 0)
    assert tuple(seen) == page.lines and last == "This is its end."


@pytest.mark.parametrize("start", [0, -1, 4])
def test_a_line_that_is_not_there_is_told(start):
    with pytest.raises(ValueError, match="lines 1 to 3"):
        view(text_page(URL, "a\nb\nc"), 0, start)


def test_find_ignores_case_marks_and_line_ends():
    page = Page(URL, ("Flint and", "steel. 【0†FLINT】 stone", "none", "a.c", "abc"), ())
    assert find(page, 2, "flint", 1).split("\n")[2:] == ["L1: Flint and", "L2: steel. 【0†FLINT】 stone"]
    assert find(page, 2, "AND  steel", 1).split("\n")[2:] == ["L1: Flint and", "L2: steel. 【0†FLINT】 stone"]
    assert find(page, 2, "flint stone", 1).split("\n")[2:] == ["L2: steel. 【0†FLINT】 stone"]
    assert find(page, 2, "flint", 2).split("\n")[2:] == ["L2: steel. 【0†FLINT】 stone"]
    assert find(page, 2, "a.c", 1).split("\n")[2:] == ["L4: a.c"]
    assert find(page, 2, "zzz", 1).startswith("Page 2, 0 lines with 'zzz'")
    with pytest.raises(ValueError, match="empty"):
        find(page, 2, " ", 1)


def test_find_shows_the_first_twenty_and_where_to_go_on():
    text = find(text_page(URL, "\n".join(["spark"] * 30)), 0, "spark", 3)
    assert text.startswith("Page 0, 28 lines with 'spark'")
    assert text.split("\n")[2] == "L3: spark" and text.endswith("L22: spark\nMore from line_start=23.")


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("schön".encode(), "", "schön"),
        ("schön".encode("latin-1"), "iso-8859-1", "schön"),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
        ("日本".encode("shift_jis"), "shift_jis", "日本"),
        ('<meta charset="windows-1251">мир'.encode("windows-1251"), "", "мир"),
        ("\ufeffmark".encode("utf-8"), "utf-8", "mark"),
        ("schön".encode(), "punycode", "schön"),
        (b"bad \xff", "utf-8", "bad \ufffd"),
    ],
)
def test_bytes_are_read_as_they_were_meant(data, charset, text):
    assert page_of(Download(URL, "text/html", charset, data)).lines == (text,)


def test_every_charset_of_the_list_exists():
    names = "utf-8 utf8 utf-16 utf-16le us-ascii windows-1258 koi8-u gb18030 big5 shift_jis euc-jp euc-kr iso-2022-jp"
    for name in [
        *names.split(),
        *(f"iso-8859-{n}" for n in range(1, 17) if n != 12),
        *(f"windows-125{n}" for n in range(9)),
    ]:
        assert codecs.lookup(name) and page_of(Download(URL, "text/plain", name, "ab".encode(name))).lines == ("ab",)


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "text/markdown", "text/csv"])
def test_plain_texts_keep_their_indentation(kind):
    assert page_of(Download(URL, kind, "", b"{\n\t<b>\n\n}")).lines == ("{", "    <b>", "}")


@pytest.mark.parametrize("data", [b"", b"   ", b"<!-- -->", b"<script>1</script>"])
def test_a_page_without_text_says_so(data):
    with pytest.raises(ValueError, match="no readable text"):
        page_of(Download(URL, "text/html", "", data))


def test_huge_and_deep_pages_stay_bounded():
    deep = html_page(URL, b"<div>" * 1500 + b"deep" + b"</div>" * 1500 + b"<p>after")
    assert deep.lines == ("deep", "after")
    for page in (
        read("<p>" + "spark " * 300_000),
        text_page(URL, "spark " * 300_000),
        read("<p>spark" * 300_000),
        read("<b>x</b>" * 300_000),
    ):
        assert sum(map(len, page.lines)) < MOST_CHARACTERS * 1.1 + 200
        assert "left out" in page.lines[-1]
