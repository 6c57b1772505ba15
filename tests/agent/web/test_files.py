import asyncio
import os
import sqlite3
import stat
import sys
from datetime import date

import pytest

from firesteel.agent.mind import Mind
from firesteel.agent.toolbox import toolbox
from firesteel.agent.web import LocalIndex, Query
from firesteel.format import Trace
from tests.agent.scripted import Scripted


def index_of(tmp_path, **files: str) -> LocalIndex:
    folder = tmp_path / "notes"
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    folder.mkdir(exist_ok=True)
    return LocalIndex([folder], tmp_path / "index.sqlite")


def search(index, text, **options):
    return asyncio.run(index.search(Query(text, **options)))


def names(index, text, **options):
    return [hit.title for hit in search(index, text, **options)]


def test_files_are_found_by_stemmed_words_and_names_count_more(tmp_path):
    index = index_of(tmp_path, a_md="Flints spark.", sub__flint_txt="A stone. A spark.", c_py="def unrelated(): ...")
    assert names(index, "flint") == ["flint.txt", "a.md"]
    assert names(index, "sparking stones") == ["flint.txt", "a.md"]
    assert names(index, "granite") == []
    hit = search(index, "flint")[1]
    assert hit.url == (tmp_path / "notes" / "a.md").as_uri() and "Flints spark." in hit.text and hit.date


@pytest.mark.parametrize("text", ['"', "AND OR NOT", "a* NEAR(b)", "col:x", "'; DROP TABLE files; --", "()", "-x ^y"])
def test_a_query_is_words_and_never_syntax(tmp_path, text):
    search(index_of(tmp_path, a_md="and or not drop table near"), text)


def test_changes_are_seen_without_asking(tmp_path):
    index = index_of(tmp_path, a_md="flint", b_md="steel")
    assert names(index, "flint") == ["a.md"]
    folder = tmp_path / "notes"
    (folder / "a.md").unlink()
    (folder / "b.md").write_text("flint and steel")
    (folder / "c.md").write_text("more flint")
    assert set(names(index, "flint")) == {"b.md", "c.md"}


def test_unchanged_files_are_not_read_again(tmp_path, monkeypatch):
    index = index_of(tmp_path, a_md="flint", b_md="steel")
    index.refresh()
    (tmp_path / "notes" / "b.md").write_text("steel again")
    read = []
    monkeypatch.setattr("firesteel.agent.web.files._text", lambda path: read.append(path.name) or "")
    index.refresh()
    assert read == ["b.md"]


def test_an_index_outlives_the_process_and_forgets_folders_that_are_no_longer_given(tmp_path):
    index_of(tmp_path, a_md="flint").refresh()
    other = tmp_path / "other"
    other.mkdir()
    index = LocalIndex([other], tmp_path / "index.sqlite")
    assert names(index, "flint") == []
    with pytest.raises(ValueError, match="not a file"):
        asyncio.run(index.open((tmp_path / "notes" / "a.md").as_uri()))


def test_since_counts_from_the_last_change(tmp_path):
    index = index_of(tmp_path, old_md="flint", new_md="flint")
    os.utime(tmp_path / "notes" / "old.md", (0, 0))
    assert names(index, "flint", since=date(2001, 1, 1)) == ["new.md"]


def test_html_is_indexed_as_it_reads(tmp_path):
    pytest.importorskip("lxml")
    index = index_of(tmp_path, a_html="<title>x</title><body><script>hidden</script><p>A <a href='b'>flint</a> stone")
    assert names(index, "hidden") == []
    url = search(index, "flint")[0].url
    assert asyncio.run(index.open(url)).lines == ("A flint stone",)


def test_without_lxml_other_files_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lxml", None)
    assert names(index_of(tmp_path, a_html="<p>flint", b_md="flint"), "flint") == ["b.md"]


def test_only_readable_files_inside_the_folders_are_indexed(tmp_path):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "secret.md").write_text("flint secret")
    (outside / "deep" / "more.md").write_text("flint secret")
    index = index_of(tmp_path, a_md="flint", _md="flint", _git__x_md="flint", b_exe="flint")
    folder = tmp_path / "notes"
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.md").write_text("flint")
    (folder / "link.md").symlink_to(outside / "secret.md")
    (folder / "linked").symlink_to(outside / "deep")
    (folder / "inner.md").symlink_to(folder / "a.md")
    (folder / "big.txt").write_text("flint " * 400_000)
    os.mkfifo(folder / "pipe.txt")
    assert names(index, "flint secret") == ["a.md"]


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "file://{folder}/../outside.md", "file://{folder}/link.md", "file://{folder}/.env",
     "file://{folder}/./a.md", "file:{folder}/a.md", "{folder}/a.md", "file://{folder}/%61.md", "file://localhost{folder}/a.md",
     "file://{folder}/a.md?x", "file://{folder}/a.md%00", "' OR 1=1 --"],
)  # fmt: skip
def test_only_the_addresses_of_indexed_files_open(tmp_path, url):
    (tmp_path / "outside.md").write_text("secret")
    index = index_of(tmp_path, a_md="flint")
    (tmp_path / "notes" / "link.md").symlink_to(tmp_path / "outside.md")
    with pytest.raises(ValueError, match="not a file of the indexed folders"):
        asyncio.run(index.open(url.format(folder=tmp_path / "notes")))


def test_the_index_is_readable_by_its_owner_only(tmp_path):
    index_of(tmp_path, a_md="flint").refresh()
    assert stat.S_IMODE((tmp_path / "index.sqlite").stat().st_mode) == 0o600


def test_a_folder_must_exist(tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        LocalIndex([tmp_path / "missing"], tmp_path / "index.sqlite")


def test_the_toolbox_closes_the_index(tmp_path):
    async def opened(folder):
        async with toolbox([f"folder:{folder}"], Trace(), Scripted(), Mind(), print, tmp_path / "files") as tools:
            return tools[0]

    search = asyncio.run(opened(tmp_path))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        asyncio.run(search({"primary_query": {"query": "flint"}}))
    with pytest.raises(ValueError, match="not a folder"):
        asyncio.run(opened("~nobody-of-this-name"))


def test_nested_folders_count_once(tmp_path):
    index_of(tmp_path, sub__a_md="flint")
    index = LocalIndex([tmp_path / "notes", tmp_path / "notes" / "sub"], tmp_path / "index.sqlite")
    assert names(index, "flint") == ["a.md"]
