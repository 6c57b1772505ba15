"""Reading text in a picture: a word or code in large spaced letters, then two lines, then one of several tilted lines.

Half of the texts are words and half are codes, so that a reader cannot live on spelling alone. Words are answered in
lower case whatever their case in the picture, codes in capitals; the checker minds neither case nor spaces. In codes
no letter stands beside another letter and no sign has a double (0 and O, 1 and I): every sign must be seen.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFont

from firesteel.tasks.base import Family, Problem, normalise
from firesteel.tasks.drawing import COLOURS, Box, canvas, font, put, text_box, vary

_SHORT = """
ace acid acorn actor age air alarm album alley amber angel ankle ant apple april apron arch arm army arrow art ash
aunt away axe baby back badge bag baker ball band bank bar barn base basin bat bath bay beach bead beak bean bear
beard bed bee beef bell belt bench berry big bike bird bit black blade blue board boat body bolt bone book boot
bow bowl box boy brain brake bran bread brick bride brook broom brown brush bud bug bulb bunch bus bush busy cabin
cable cake call calm camel camp can candy cap car card care cart case cash cat cave chair chalk cheek chess chest
child city clay clean clerk clip clock cloud clown club coach coal coast coat coin cold comb cook cool copy cord
corn cost cow crab crane cream creek crop crow crown cube cup curl curve dad daisy dance dark date dawn day deck
deep deer desk dial dice dish dock doll door dot dove down draft dream dress drill drink drive drop drum duck dune
dust eagle ear early earth east easy echo edge egg elbow elm empty end entry exit eye face fact fair fall
fan far farm fast fawn feet fence fern few field fig film fin fire first fish five flag flame flat floor flour
flute fly foam fog folk food foot fork fort four fox frame free fresh frog front fruit full fun game gate gift
girl give glad glass globe glove glue goat gold golf good goose grain grand grape grass gray green grid grin group
grow guard guest guide gull gum hair half hall ham hand happy harp hat hawk hay hazel head heart heat heavy hen
herb here hero high hike hill hint hive home honey hood hook hope horn horse hotel hour house hub hut ice idea
inch ink iron ivy jam jar jaw jazz jet job join joke joy judge juice jump june jury just keep key kind king kite
knee knife knob knot lace lake lamb lamp land lane large last late lawn leaf left leg lemon lens light lily lime
line lion list live loaf lock log long look loop loud love luck lunch magic mail main map march mark mask mat meal
meat melon metal milk mill mind mine mint moon moss moth mouse mouth movie mud mule music nail name navy near neck
nest net new news next nice night nine noise noon north nose note novel nurse nut oak oats ocean off old olive one
onion open orbit otter oven owl paint palm pan panda paper park part party pasta path peach pear pen phone photo
piano pie pig pilot pin pine pink pipe pizza plane plant plate play plum poem poet pole pond pony pool porch port
post pot print prize pump puppy queen quick quiet quilt race radio rain ramp ranch ray red reef rice rich ride
ring river road robin robot rock roof room root rope rose round row rug ruler run sad safe sail salad salt sand
sauce save scale scarf scene sea seal seat seed seven shade sheep shelf shell shine ship shirt shoe shop shore
short show silk sink site six size skate ski skirt sky slow small smile smoke snail snake snow soap sock
sofa soft soil song soup south space spoon sport stage stamp star steam step stone stop store storm story stove
sugar suit sun swan sweet swing table tail tall tank tape taxi tea team ten tent test thin three tide tiger tile
time tin toast toe tool tooth top town toy track trade train tray tree trip truck true tube tulip tuna turn two
uncle under van vase vest view vine visit voice walk wall warm wash watch water wave web week west whale
wheat wheel white wide wild wind wing wolf wood wool word work world yard year young zebra zero zone zoo
"""
_LONG = """
actress airport ancient antique apricot artist autumn balcony balloon banana barrel basket battery bedroom
bicycle biscuit blanket blossom bottle bracelet branch breakfast breeze bridge bright brother bucket building
butter button cabbage cabinet camera candle captain caravan carpet carriage carrot castle cathedral ceiling
century chapter cherry chimney chicken chocolate church circle circus classroom climate coconut coffee compass
concert corner cottage cotton country courage cousin cricket curtain cushion customer daughter december dentist
desert dessert diamond dinner dolphin donkey dragon drawer driver eastern eclipse elephant engine evening
factory falcon family famous farmer father feather festival finger firefly flower football forest fortune
fountain freedom friday friend furniture future galaxy garage garden garlic gentle giraffe glacier grammar
grandma guitar hammer harbour harvest helmet history holiday hospital hundred husband iceberg insect island
jacket january journey jungle kettle keyboard kingdom kitchen kitten ladder language lantern laptop
laundry leather lemonade leopard library lizard lobster machine magazine magnet market meadow
medicine memory message midnight mirror monday monkey morning mother mountain mushroom museum napkin nature
needle nephew network notebook november number october octopus office orange orchard orchestra oyster package
painter palace parade parrot passport patient peanut pebble pelican pencil penguin pepper picnic picture pigeon
pillow pirate planet plastic pocket postcard potato prairie present prince printer problem pumpkin puzzle
pyramid rabbit railway rainbow raincoat ribbon rocket sailor sandwich saturday saucer scissors season secret
september shadow shoulder shower silence singer sister soldier spider spring squirrel stadium station stomach
stream street student summer sunday sunflower sunset teacher telephone temple theatre thunder ticket tomato
tongue tractor traffic treasure triangle trumpet tuesday tunnel turkey turtle umbrella uniform vacation vanilla
village vinegar violin volcano waiter walnut weather wedding whisper whistle window winter wizard yellow
"""

SHORT_WORDS = tuple(_SHORT.split())  # 3 to 5 letters
LONG_WORDS = tuple(_LONG.split())  # 6 to 9 letters
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_DIGITS = "23456789"
_INKS = ("black", "red", "blue", "green", "purple", "brown")
_STYLES = ("sans", "bold sans", "italic sans", "serif", "bold serif", "mono")


@dataclass(frozen=True)
class _Line:
    """A line of the picture: `shown` is drawn, `answer` is what a reader says."""

    shown: str
    answer: str

    @property
    def spelled(self) -> str:
        return " ".join(self.answer)

    @property
    def read(self) -> str:
        return f"{self.spelled}, {self.answer}"


def _word(rng: random.Random, words: tuple[str, ...]) -> _Line:
    word = rng.choice(words)
    return _Line(rng.choices([word, word.upper(), word.capitalize()], [5, 3, 2])[0], word)


def _code(rng: random.Random, length: int) -> _Line:
    """A mix of digits and single letters with at least one of each."""
    signs: list[str] = []
    while not any(sign in _LETTERS for sign in signs) or not any(sign in _DIGITS for sign in signs):
        signs = []
        for _ in range(length):
            after_letter = bool(signs) and signs[-1] in _LETTERS
            signs.append(rng.choice(_DIGITS if after_letter or rng.random() < 0.3 else _LETTERS))
    return _Line("".join(signs), "".join(signs))


def _line(rng: random.Random, words: tuple[str, ...], code_lengths: tuple[int, int]) -> _Line:
    return _word(rng, words) if rng.random() < 0.5 else _code(rng, rng.randint(*code_lengths))


def _face(style: str, size: int) -> ImageFont.FreeTypeFont:
    """The typeface for one of _STYLES; the slanted file lies beside the upright one."""
    if style != "italic sans":
        return font("-".join(reversed(style.split())), size)
    upright = Path(str(font("sans", size).path))
    return ImageFont.truetype(str(upright.with_name("DejaVuSans-Oblique.ttf")), size, ImageFont.Layout.BASIC)


def _draw(
    rng: random.Random, lines: list[_Line], size: tuple[int, int], style: str, ink: str, pixels: int, tilt: float
) -> tuple[Image.Image, list[Box]]:
    """Lines below each other, the whole turned by `tilt` degrees; and the lines' boxes before that turn."""
    width, height = size
    image, pen = canvas(rng, width, height)
    margin = 5 + math.sin(math.radians(abs(tilt))) * max(size) / 2  # nothing may turn out of the picture
    face = _face(style, pixels)
    widest = max(face.getlength(line.shown) for line in lines)
    if widest > width - 2 * margin:
        face = _face(style, int(pixels * (width - 2 * margin) / widest))
    fill = vary(rng, COLOURS[ink], 8)
    texts = [text_box((0, 0), line.shown, face, "la") for line in lines]
    pitch = face.size * rng.uniform(1.25, 1.6)
    top = rng.uniform(margin, height - margin - pitch * (len(lines) - 1) - max(box[3] for box in texts))
    start = margin - min(box[0] for box in texts)  # a slanted J reaches left of where it begins
    left = rng.uniform(start, width - margin - max(box[2] for box in texts))
    # The lines stand nearly flush left: were they scattered, a tilted first line could lie below the second.
    boxes = [
        put(pen, (max(start, left - rng.uniform(0, face.size)), top + number * pitch), line.shown, face, fill, "la")
        for number, line in enumerate(lines)
    ]
    if tilt:
        image = image.rotate(tilt, Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0)))
    return image, boxes


_PITCH = 28  # pixels from letter to letter in a primer


def _draw_primer(rng: random.Random, text: str, style: str, ink: str) -> tuple[Image.Image, list[Box]]:
    """Letters set wide apart near the squares of a 28-pixel grid, as in a first reading book; and the text's box.

    28 pixels are what one image token of our models sees (2x2 patches of 14), so a beginner meets about one letter a
    token. Ordinary setting starts at level 2.
    """
    image, pen = canvas(rng, 168, 168)
    # Most letters of a fixed-pitch face are narrow enough for a larger size.
    face = _face(style, rng.randint(34, 37) if style == "mono" else rng.randint(29, 32))
    fill = vary(rng, COLOURS[ink], 8)
    x = _PITCH * (rng.randint(0, 6 - len(text)) + 0.5) + rng.randint(-2, 2)
    x = max(x, 2 - text_box((0, 0), text[0], face, "ms")[0])
    x = min(x, 166 - text_box((0, 0), text[-1], face, "ms")[2] - _PITCH * (len(text) - 1))
    baseline = _PITCH * rng.randint(2, 5) - 2 + rng.randint(-2, 2)
    boxes = [put(pen, (x + _PITCH * place, baseline), letter, face, fill, "ms") for place, letter in enumerate(text)]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return image, [(min(lefts), min(tops), max(rights), max(bottoms))]


WHOLE = ("What does it say?", "Read the text.", "What is written here?", "Which text is in the picture?")
PART = ("Read line {0}.", "What does line {0} say?", "What is written on line {0}?")


class Reading(Family):
    """One text in large spaced letters (level 1), long words or two lines (2), one of some small tilted lines (3)."""

    name = "reading"
    visual = True
    levels = 3

    def generate(self, rng: random.Random, level: int) -> Problem:
        style, ink = rng.choice(_STYLES), rng.choice(_INKS)
        asked = 0  # the line that is asked for, from 1; 0 is the whole text
        if level == 1:
            lines = [_line(rng, SHORT_WORDS, (3, 5))]
        elif level == 2:
            width, height = rng.choice([(168, 168), (224, 168), (224, 224)])
            lines = [_line(rng, LONG_WORDS, (6, 8))]
            if rng.random() < 0.6:
                lines = [_line(rng, SHORT_WORDS + LONG_WORDS, (3, 6)) for _ in range(2)]
                asked = rng.choice([0, 1, 2])
            size, tilt = rng.randint(24, 36), 0.0
        else:
            width, height = rng.choice([(224, 168), (224, 224)])
            lines = [_line(rng, SHORT_WORDS + LONG_WORDS, (4, 6)) for _ in range(rng.randint(3, 4))]
            asked = rng.randint(1, len(lines))
            size, tilt = rng.randint(15, 20), rng.uniform(-8, 8)
        if level == 1:
            image, boxes = _draw_primer(rng, lines[0].shown, style, ink)
        else:
            image, boxes = _draw(rng, lines, (width, height), style, ink, size, tilt)

        wanted = [lines[asked - 1]] if asked else lines
        answer = " ".join(line.answer for line in wanted)
        numbered = " ".join(f"line {number}: {line.read}." for number, line in enumerate(lines, 1))
        look = f"{ink} {style}"
        if len(lines) == 1 and lines[0].shown != answer:
            look += " capitals" if lines[0].shown.isupper() else " capital"
        if len(lines) == 1:
            caption = f"text: {lines[0].read}, {look}."
            terse = f"{lines[0].spelled}. So {answer}"
            full = f"{look}. {len(answer)} signs: {lines[0].spelled}. So {answer}."
        else:
            caption = f"{look}. {numbered}"
            terse = f"{'. '.join(line.spelled for line in wanted)}. So {answer}"
            full = f"{numbered} So {answer}."
        return Problem(
            family=self.name,
            level=level,
            question=rng.choice(PART if asked else WHOLE).format(asked),
            answer=answer,
            terse=terse,
            full=full,
            image=image,
            caption=caption,
            facts={"lines": [line.shown for line in lines], "asked": asked, "style": style, "ink": ink, "boxes": boxes},
        )

    def check(self, problem: Problem, text: str) -> bool:
        """The same signs in the same order; quotes around them, case and spaces do not matter."""
        return _signs(text) == _signs(problem.answer)


def _signs(text: str) -> str:
    return normalise(normalise(text).strip("\"'`")).replace(" ", "")
