import asyncio
import struct

import pytest
from PIL import Image

from firesteel.agent import sandbox
from firesteel.agent.container import Workspace
from firesteel.agent.sandbox import Limits, Result
from firesteel.agent.tools import ToolError


class Pretend:
    """A sandbox that does what a test says and returns its result."""

    name, sees = "pretend", "/mnt/data"

    def __init__(self, act=lambda folder: None, **result):
        self.act, self.result = act, Result(**({"stdout": "", "stderr": "", "exit_code": 0} | result))
        self.inside = self.most = 0

    def obstacle(self):
        return ""

    async def run(self, code, folder, limits):
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0.01)
        self.act(folder)
        self.inside -= 1
        return self.result


def call(space, name, **arguments):
    tools = {tool.name: tool for tool in space.tools()}
    return asyncio.run(tools[f"container.{name}"](arguments))


def said(space, name, **arguments):
    return "\n".join(part.text for part in call(space, name, **arguments) if part.text)


@pytest.fixture
def space(tmp_path):
    made = Workspace(tmp_path / "conversation", None)
    (made.folder / "poem.txt").write_text("one\ntwo\nthree\n")
    return made


def test_without_a_sandbox_there_is_no_python(tmp_path):
    files = {"view", "insert", "str_replace", "file_search", "create_web_artifact"}
    assert {tool.name for tool in Workspace(tmp_path, None).tools()} == {f"container.{name}" for name in files}
    tools = Workspace(tmp_path, Pretend()).tools()
    assert {tool.name for tool in tools} == {f"container.{name}" for name in files | {"python_execution"}}
    assert not any(tool.changes for tool in tools)


def test_the_model_is_told_the_tier_and_the_place(tmp_path):
    python = Workspace(tmp_path, Pretend()).tools()[0]
    assert "Sandbox: pretend." in python.description and "/mnt/data" in python.description
    assert python.parameters["required"] == ["code"]


def test_output_errors_and_status_are_told(tmp_path):
    space = Workspace(tmp_path, Pretend(stdout="1\n", stderr="ValueError: x\n", exit_code=1))
    assert said(space, "python_execution", code="") == "1\nValueError: x\nExit status 1."
    space = Workspace(tmp_path, Pretend(exit_code=-9, stopped="It ran longer than 5 s."))
    assert said(space, "python_execution", code="") == "The run was stopped. It ran longer than 5 s."
    assert said(Workspace(tmp_path, Pretend()), "python_execution", code="") == "It ran without output."
    assert "CPU time" in said(Workspace(tmp_path, Pretend(exit_code=137)), "python_execution", code="")


def test_pictures_come_back_small_and_few(tmp_path):
    names = [f"{number}.png" for number in range(6)]

    def draw(folder):
        for name in names:
            Image.new("RGB", (3000, 100), "red").save(folder / name)

    space = Workspace(tmp_path, Pretend(draw, changed=tuple(names)))
    parts = call(space, "python_execution", code="")
    assert [part.image.size for part in parts if part.image] == [(1024, 34)] * 4
    assert "/mnt/data/5.png" in parts[0].text


def test_a_picture_that_is_none_is_told_not_shown(tmp_path):
    def draw(folder):
        (folder / "a.png").write_bytes(b"no picture")
        (folder / "b.png").symlink_to("/etc/hostname")

    parts = call(Workspace(tmp_path, Pretend(draw, changed=("a.png", "b.png"))), "python_execution", code="")
    assert len(parts) == 1 and "a.png" in parts[0].text and "not opened" in parts[0].text


def scans(side, count):
    """A progressive JPEG, grey, of a few bytes a scan: each scan says of all pixels that nothing changes."""
    blocks = ((side + 7) // 8) ** 2

    def segment(kind, data):
        return b"\xff" + bytes([kind]) + struct.pack(">H", len(data) + 2) + data

    def scan(first, last, precision, zeros):
        return segment(0xDA, bytes([1, 1, 0, first, last, precision])) + bytes(zeros // 8 + 1)

    one_code = bytes([1] + [0] * 15)
    tables = segment(0xDB, bytes(1) + bytes([1] * 64)) + segment(0xC4, b"\x00" + one_code + b"\x00")
    tables += segment(0xC4, b"\x10" + one_code + b"\xe0")
    frame = segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00")
    again = scan(1, 63, 0x10, 15 * (blocks // (1 << 14) + 1))
    return b"\xff\xd8" + tables + frame + scan(0, 0, 0, blocks) + again * count + b"\xff\xd9"


def test_a_picture_of_thousands_of_scans_is_not_opened(tmp_path):
    def draw(folder):
        (folder / "slow.jpg").write_bytes(scans(64, 101))
        (folder / "well.jpg").write_bytes(scans(64, 90))

    parts = call(Workspace(tmp_path, Pretend(draw, changed=("slow.jpg", "well.jpg"))), "python_execution", code="")
    assert "slow.jpg: The picture has more than 100 scans" in parts[0].text and "well.jpg:" not in parts[0].text
    assert [part.image.size for part in parts if part.image] == [(64, 64)]


def test_names_that_are_no_text_are_told_so_that_they_can_be_kept(tmp_path):
    names = (b"\xff.png".decode("utf-8", "surrogateescape"), "a\n\x1b]0;x\x07.txt")

    def write(folder):
        for name in names:
            (folder / name).write_text("hello")

    space = Workspace(tmp_path, Pretend(write, changed=names))
    told = said(space, "python_execution", code="") + said(space, "view", path=".")
    told += said(space, "file_search", queries=["hello"])
    told.encode()
    assert "\x1b" not in told and "\ufffd.png" in told and told.count("a\ufffd\ufffd]0;x\ufffd.txt") == 3


def test_runs_in_one_folder_wait_for_each_other(tmp_path):
    pretend = Pretend()
    python = Workspace(tmp_path, pretend).tools()[0]

    async def main():
        await asyncio.gather(*(python({"code": ""}) for _ in range(3)))

    asyncio.run(main())
    assert pretend.most == 1


def test_python_runs_for_real_and_shows_its_figure(tmp_path):
    tier = sandbox.best()
    if tier is None:
        pytest.skip("No sandbox here.")
    parts = call(
        Workspace(tmp_path, tier),
        "python_execution",
        code="import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n6 * 7",
    )
    assert parts[0].text.startswith("42\n") and "figure-1.png" in parts[0].text
    assert [part.image.size for part in parts[1:]] == [(640, 480)]


def test_view_numbers_lines_and_takes_a_range(space):
    assert said(space, "view", path="poem.txt") == "     1\tone\n     2\ttwo\n     3\tthree"
    assert said(space, "view", path="/mnt/data/poem.txt", view_range=[2, -1]) == "     2\ttwo\n     3\tthree"
    for bad in ([0, 2], [4, 5], [3, 1], [1]):
        with pytest.raises(ToolError, match="from 1 to 3"):
            call(space, "view", path="poem.txt", view_range=bad)


def test_view_shows_pictures_folders_and_empty_files(space):
    Image.new("RGB", (20, 10)).save(space.folder / "p.png")
    (space.folder / "sub").mkdir()
    (space.folder / "sub" / "empty").touch()
    assert call(space, "view", path="p.png")[0].image.size == (20, 10)
    assert said(space, "view", path=".") == f"p.png ({(space.folder / 'p.png').stat().st_size} bytes)\n" + (
        "poem.txt (14 bytes)\nsub/empty (0 bytes)"
    )
    assert said(space, "view", path="sub") == "sub/empty (0 bytes)"
    assert said(space, "view", path="sub/empty") == "sub/empty is empty."


def test_view_of_much_text_is_cut_and_says_so(space):
    (space.folder / "long").write_text("\n".join(["x" * 5000] * 100))
    text = said(space, "view", path="long")
    assert len(text) < 18_000 and "[… 3,000 characters]" in text and "use view_range" in text


def test_a_picture_with_too_many_pixels_is_refused(space):
    Image.new("1", (5000, 5000)).save(space.folder / "bomb.png")
    with pytest.raises(ToolError, match="pixels"):
        call(space, "view", path="bomb.png")


@pytest.mark.parametrize("path", ["../poem.txt", "/etc/passwd", "missing", "binary"])
def test_what_cannot_be_viewed_is_an_error_the_model_reads(path, space):
    (space.folder / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ToolError, match=r"outside|no file|not a text file"):
        call(space, "view", path=path)


def test_insert_puts_text_after_a_line(space):
    text = said(space, "insert", path="poem.txt", insert_line=1, new_str="one and a half")
    assert (space.folder / "poem.txt").read_text() == "one\none and a half\ntwo\nthree\n"
    assert "     2\tone and a half" in text
    call(space, "insert", path="poem.txt", insert_line=0, insert_text="zero\n")
    call(space, "insert", path="poem.txt", insert_line=5, new_str="end")
    assert (space.folder / "poem.txt").read_text() == "zero\none\none and a half\ntwo\nthree\nend\n"
    with pytest.raises(ToolError, match="from 0 to 6"):
        call(space, "insert", path="poem.txt", insert_line=7, new_str="x")


def test_insert_at_0_makes_a_file(space):
    call(space, "insert", path="new/a.txt", insert_line=0, new_str="first")
    assert (space.folder / "new" / "a.txt").read_text() == "first\n"
    with pytest.raises(ToolError, match="no file"):
        call(space, "insert", path="other.txt", insert_line=1, new_str="x")


def test_str_replace_wants_exactly_one(space):
    call(space, "str_replace", path="poem.txt", old_str="two\nthr", new_str="2\n3\nthr")
    assert (space.folder / "poem.txt").read_text() == "one\n2\n3\nthree\n"
    with pytest.raises(ToolError, match="occurs 3 times, in the lines 1, 4, 4"):
        call(space, "str_replace", path="poem.txt", old_str="e", new_str="x")
    for absent in ("four", ""):
        with pytest.raises(ToolError, match="does not occur"):
            call(space, "str_replace", path="poem.txt", old_str=absent)
    call(space, "str_replace", path="poem.txt", old_str="2\n3\n")
    assert (space.folder / "poem.txt").read_text() == "one\nthree\n"


def test_edits_do_not_fill_the_disk(tmp_path):
    space = Workspace(tmp_path, None, Limits(folder_mib=1))
    call(space, "insert", path="a", insert_line=0, new_str="x" * 700_000)
    with pytest.raises(ToolError, match="full"):
        call(space, "insert", path="b", insert_line=0, new_str="x" * 700_000)


def test_edits_leave_the_folder_within_its_limits(tmp_path):
    space = Workspace(tmp_path, None, Limits(files=5))
    for number in range(5):
        call(space, "insert", path=f"{number}", insert_line=0, new_str="x")
    for path in ("5", "a/b"):
        with pytest.raises(ToolError, match="more than"):
            call(space, "insert", path=path, insert_line=0, new_str="x")
    with pytest.raises(ToolError, match="folders deep"):
        call(space, "insert", path="d/" * 40 + "x", insert_line=0, new_str="x")
    assert said(space, "view", path=".").count("bytes") == 5


def test_edits_at_once_are_not_lost(space):
    insert = {tool.name: tool for tool in space.tools()}["container.insert"]

    async def main():
        await asyncio.gather(*(insert({"path": "poem.txt", "insert_line": 0, "new_str": "x"}) for _ in range(20)))

    asyncio.run(main())
    assert (space.folder / "poem.txt").read_text() == "x\n" * 20 + "one\ntwo\nthree\n"


def test_file_search_finds_excerpts_best_first(space):
    (space.folder / "whales.md").write_text("\n" * 40 + "Whales sing. A whale's song travels far.\n")
    (space.folder / "birds.md").write_text("Birds sing at dawn.\n")
    (space.folder / "image.bin").write_bytes(b"\xff" * 10)
    text = said(space, "file_search", queries=["whale songs"])
    assert text.startswith("whales.md, from line 41:") and "birds" not in text
    both = said(space, "file_search", queries=["sing", "three"])
    assert {"whales.md", "birds.md", "poem.txt"} <= set(both.replace(",", " ").split())
    assert both.count("from line") == 3
    assert said(space, "file_search", queries=["sing", "three"], top_k=1).count("from line") == 1


@pytest.mark.parametrize("query", ["", '" OR * NEAR(', "quaternion", "a AND NOT"])
def test_file_search_takes_any_query(query, space):
    assert said(space, "file_search", queries=[query]) == "Nothing in 1 text files fits the queries."


def test_file_search_knows_languages_without_spaces(space):
    (space.folder / "zh.txt").write_text("鲸鱼在海里唱歌\n")
    assert said(space, "file_search", queries=["唱歌"]).startswith("zh.txt")


def test_a_web_artifact_is_a_file_and_a_link(space):
    link = said(space, "create_web_artifact", kind="html", title="My [page]", content="<!doctype html><p>hi")
    assert link == "[My page](container:///mnt/data/my-page.html)"
    assert (space.folder / "my-page.html").read_text() == "<!doctype html><p>hi"
    again = said(space, "create_web_artifact", kind="html", title="Again", filename="/mnt/data/my-page.html")
    assert again == "[Again](container:///mnt/data/my-page.html)"
    svg = said(space, "create_web_artifact", kind="svg", title="S", filename="a b", content="<svg></svg>")
    assert svg == "[S](container:///mnt/data/a%20b.svg)"
    assert said(space, "view", path=svg[4:-1]) == "     1\t<svg></svg>"


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "svg", "title": "x", "content": "<p>"},
        {"kind": "html", "title": "x"},
        {"kind": "html", "title": "x", "filename": "../x", "content": "<p>"},
        {"kind": "pdf", "title": "x", "content": "<p>"},
    ],
)
def test_a_bad_web_artifact_is_refused(bad, space):
    with pytest.raises(ToolError):
        call(space, "create_web_artifact", **bad)
    assert not (space.folder.parent / "x.html").exists() and not (space.folder / "x.svg").exists()
