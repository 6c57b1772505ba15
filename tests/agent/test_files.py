import errno
import os

import pytest

from firesteel.agent.files import locate, read_file, write_file


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("a.txt", "a.txt"),
        ("./b//a.txt", "b/a.txt"),
        ("/mnt/data/b/a.txt", "b/a.txt"),
        ("container:///mnt/data/a%20b.txt", "a b.txt"),
        ("/mnt/data", ""),
        (" a.txt\n", "a.txt"),
        ("a..b", "a..b"),
    ],
)
def test_names_mean_paths_in_the_folder(name, inside, tmp_path):
    assert locate(name, tmp_path) == inside


def test_the_real_path_of_the_folder_is_understood(tmp_path):
    assert locate(f"{tmp_path}/a.txt", tmp_path) == "a.txt"


@pytest.mark.parametrize(
    "name",
    [
        "../a", "a/../../b", "/etc/passwd", "/mnt/data/../x", "/mnt/database/x", "container:///etc/passwd",
        "container:///mnt/data/%2e%2e/x", "a\0b", "a\udcff",
        "file:///etc/passwd/..", "..", "/", "//etc/passwd", "~/../x",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="outside the working folder"):
        locate(name, tmp_path)


def test_a_file_is_read_and_written_with_the_folders_on_the_way(tmp_path):
    write_file(tmp_path, "a/b/c.txt", b"first, long")
    write_file(tmp_path, "a/b/c.txt", b"second")
    assert read_file(tmp_path, "a/b/c.txt", 100) == b"second"


@pytest.fixture
def trapped(tmp_path):
    """A folder with links to a secret, as a file and as a folder, and to a file that is not there."""
    secret, folder = tmp_path / "secret", tmp_path / "folder"
    secret.mkdir()
    folder.mkdir()
    (secret / "file").write_text("secret")
    (folder / "link").symlink_to(secret / "file")
    (folder / "more").symlink_to(secret)
    (folder / "dangling").symlink_to(secret / "new")
    return folder


@pytest.mark.parametrize("name", ["link", "more/file", "dangling", "more/new"])
def test_links_are_not_followed(name, trapped):
    with pytest.raises(ValueError, match="not opened"):
        read_file(trapped, name, 100)
    with pytest.raises(ValueError, match="not opened"):
        write_file(trapped, name, b"x")
    assert [(path.name, path.read_text()) for path in (trapped.parent / "secret").iterdir()] == [("file", "secret")]


@pytest.mark.parametrize("name", ["link", "more/file", "dangling"])
def test_links_are_not_followed_where_only_paths_can_be_opened(name, trapped, monkeypatch):
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(ValueError, match="not opened"):
        read_file(trapped, name, 100)
    write_file(trapped, "a/plain", b"x")
    assert read_file(trapped, "a/plain", 1) == b"x"


def test_only_regular_files_are_opened_and_no_pipe_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ValueError, match="is not a file"):
            read_file(tmp_path, name, 100)
        with pytest.raises(ValueError, match=name):
            write_file(tmp_path, name, b"x")


def test_a_large_file_is_not_read(tmp_path):
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(ValueError, match="11 bytes"):
        read_file(tmp_path, "large", 10)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"There is no file a/b\.txt"):
        read_file(tmp_path, "a/b.txt", 10)
    with pytest.raises(ValueError, match="needs a name"):
        write_file(tmp_path, "", b"")


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(descriptor, length):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(ValueError, match=r"a\.txt cannot be read or written: No space"):
        write_file(tmp_path, "a.txt", b"x")
