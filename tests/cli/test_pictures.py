import io
from base64 import b64decode

from PIL import Image

from firesteel.cli.pictures import drawn

PICTURE = Image.effect_noise((900, 600), 90).convert("RGB")


def test_a_terminal_that_shows_no_pictures_gets_nothing():
    assert drawn(PICTURE, {"TERM": "xterm-256color"}) == ""


def test_kitty_gets_the_picture_in_pieces_of_4096():
    commands = drawn(PICTURE, {"TERM": "xterm-kitty"}).split("\x1b\\")[:-1]
    heads, pieces = zip(*(command.removeprefix("\x1b_G").split(";") for command in commands), strict=True)
    assert heads[0] == "a=T,f=100,m=1" and heads[-1] == "m=0" and set(heads[1:-1]) == {"m=1"}
    assert max(map(len, pieces)) <= 4096
    assert Image.open(io.BytesIO(b64decode("".join(pieces)))).size == (480, 320)


def test_iterm_gets_it_whole_with_its_size():
    head, _, data = drawn(PICTURE, {"TERM_PROGRAM": "iTerm.app"}).partition(":")
    png = b64decode(data.removesuffix("\a\n"))
    assert head == f"\x1b]1337;File=inline=1;size={len(png)}" and Image.open(io.BytesIO(png)).size == (480, 320)
