"""The committed bundle is what its source makes, byte for byte, and is small."""

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB, STATIC = ROOT / "web", ROOT / "src" / "firesteel" / "server" / "static"
LARGEST = 250_000  # bytes of all that is loaded at first, packed


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not there: they rebuild the app")
@pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="run `npm ci` in web/ to rebuild the app")
def test_the_bundle_is_what_its_source_makes(tmp_path):
    built = tmp_path / "static"
    command = ["npm", "run", "--silent", "build", "--", "--outDir", str(built), "--emptyOutDir"]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    made, kept = files(built), files(STATIC)
    assert sorted(made) == sorted(kept), "the bundle is not that of its source: run `make web`"
    assert [name for name in made if made[name] != kept[name]] == []


def test_the_bundle_is_small():
    sizes = {name: len(gzip.compress(data, mtime=0)) for name, data in files(STATIC).items()}
    assert sum(size for name, size in sizes.items() if "katex" not in name) <= LARGEST
    assert any("katex" in name for name in sizes)


def test_the_page_names_no_other_place():
    page = (STATIC / "index.html").read_text()
    assert "http://" not in page and "https://" not in page and "<style" not in page
    assert page.count("<script") == 1 and 'src="./assets/' in page
