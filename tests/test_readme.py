"""The README's file tree is true: every name exists, and every room and top folder is named."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_file_tree_matches():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## Files")[1].split("```")[1]
    rooms = set(re.findall(r"^  (\w+)/", tree, re.M))
    package = ROOT / "src" / "firesteel"
    assert rooms == {p.name for p in package.iterdir() if p.is_dir() and p.name != "__pycache__"}
    folders = set(re.findall(r"^(\w+)/ ", tree, re.M))
    assert folders == {"bench", "docs", "examples", "tests", "web"}
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / target).exists(), target
