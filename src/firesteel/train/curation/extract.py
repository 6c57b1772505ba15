"""Markup to plain text: wikitext, Wikipedia's XML, WikiExtractor's output, Project Gutenberg's files.

- Wikitext is parsed by mwparserfromhell; templates, tables, references, galleries and links to files and categories go,
  and so does everything from the first closing section on ("References", "See also", …), which is lists.
- A Gutenberg file loses what stands outside its START and END marks, and its pictures' placeholders; paragraphs that
  were wrapped to a line width become one line, verse keeps its lines; a book is cut into pieces at paragraph borders,
  so that filters, shuffling and near-duplicate search see passages and not volumes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO
from xml.etree import ElementTree

import mwparserfromhell
from mwparserfromhell.nodes import Tag

PIECE = 20_000  # characters of a piece of a book

_DROPPED_TAGS = {"ref", "references", "table", "gallery", "math", "timeline", "score", "imagemap", "code", "nowiki"}
_CLOSING = {"references", "notes", "see also", "external links", "further reading", "bibliography", "sources"}
_CLOSING |= {"other websites", "related pages", "citations", "footnotes", "notes and references"}
_LEAVES = re.compile(r"^\s*:?\s*(?:file|image|category|[a-z]{2,3}(?:-[a-z]+)?)\s*:", re.I)
_EMPTY_BRACKETS = re.compile(r"[ \t]*\([\s,;:–-]*\)")

_START = re.compile(r"^\W*(?:START OF (?:THE|THIS) PROJECT GUTENBERG|END\W*THE SMALL PRINT).*$", re.I | re.M)
_END = re.compile(r"^\W*END OF (?:THE|THIS) PROJECT GUTENBERG.*$|^End of (?:the )?Project Gutenberg.*$", re.I | re.M)
_PLACEHOLDER = re.compile(r"\[(?:Picture|Illustration|Redactor's note|Transcriber's note)\b[^\]]*\]", re.I)
_ITALICS = re.compile(r"(?<!\w)_([^_\n]+)_(?!\w)")
_WRAPPED = 50  # mean length of a paragraph's lines from which they are taken as wrapped prose


def wikipedia_pages(stream: IO[bytes]) -> Iterator[tuple[str, str, str]]:
    """Yields (id, title, wikitext) of the articles in a MediaWiki XML dump; redirects and other namespaces are skipped.

    The tree is emptied as it is read, so a dump of any size takes little memory.
    """
    events = ElementTree.iterparse(stream, events=("start", "end"))
    _, root = next(events)
    space = root.tag.removesuffix("mediawiki")  # "{http://www.mediawiki.org/xml/export-0.11/}"
    for event, element in events:
        if event != "end" or element.tag != f"{space}page":
            continue
        text = element.findtext(f"{space}revision/{space}text")
        if element.findtext(f"{space}ns") == "0" and element.find(f"{space}redirect") is None and text:
            yield element.findtext(f"{space}id") or "", element.findtext(f"{space}title") or "", text
        root.clear()


def plain_wikitext(title: str, wikitext: str) -> str:
    """An article's title and prose without markup."""
    code = mwparserfromhell.parse(wikitext)
    for heading in code.filter_headings():
        if heading.title.strip_code().strip().lower() in _CLOSING:
            code = mwparserfromhell.parse(str(code)[: str(code).index(str(heading))])
            break
    for node in [*code.filter_tags(), *code.filter_wikilinks()]:
        gone = str(node.tag).lower() in _DROPPED_TAGS if isinstance(node, Tag) else bool(_LEAVES.match(str(node.title)))
        if gone and code.contains(node):  # it may have gone with what held it
            code.remove(node)
    text = _EMPTY_BRACKETS.sub("", code.strip_code(normalize=True, collapse=True))
    lines = [line.strip() for line in text.splitlines()]
    return f"{title}\n\n" + "\n".join(line for line in lines if line)


def wikiextractor_pages(stream: IO[str]) -> Iterator[tuple[str, str]]:
    """Yields (id, text) from a file that WikiExtractor wrote: `<doc id=… title=…>` blocks, or JSON lines."""
    identity = ""
    lines: list[str] = []
    for line in stream:
        if line.startswith("{"):
            page = json.loads(line)
            yield str(page["id"]), f"{page['title']}\n\n{page['text']}"
        elif line.startswith("<doc "):
            found = re.search(r'id="([^"]*)"', line)
            identity, lines = found[1] if found else "", []
        elif line.startswith("</doc>"):
            yield identity, "".join(lines)
        else:
            lines.append(line)


def gutenberg_pieces(text: str) -> Iterator[str]:
    """Yields the passages of one Gutenberg file, each of at most `PIECE` characters unless one paragraph is longer."""
    starts = list(_START.finditer(text))
    text = text[starts[-1].end() :] if starts else text
    if end := _END.search(text):
        text = text[: end.start()]
    piece: list[str] = []
    size = 0
    for block in re.split(r"\n\s*\n", _PLACEHOLDER.sub("", text.replace("\r\n", "\n"))):
        paragraph = _unwrap(block)
        if not any(character.isalnum() for character in paragraph):  # rows of stars
            continue
        if piece and size + len(paragraph) > PIECE:
            yield "\n\n".join(piece)
            piece, size = [], 0
        piece.append(paragraph)
        size += len(paragraph) + 2
    if piece:
        yield "\n\n".join(piece)


def _unwrap(block: str) -> str:
    lines = [line.rstrip() for line in block.splitlines() if line.strip()]
    wrapped = len(lines) > 1 and sum(map(len, lines[:-1])) >= _WRAPPED * (len(lines) - 1)
    joined = " ".join(line.strip() for line in lines) if wrapped else "\n".join(lines)
    return _ITALICS.sub(r"\1", joined).strip()
