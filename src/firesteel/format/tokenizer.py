"""Text to token ids and back, around the Rust `tokenizers` library; and how many tokens a picture may take.

There are two ways to read text. Ours (`special=True`) turns control strings such as `<|eot|>` into control tokens.
Everybody else's (the default) spells them out in ordinary tokens, so that no caller can forge one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

import tokenizers
from PIL import Image

from firesteel.format.images import MAX_TOKENS, image_tokens, resize_to_grid

# Offsets of the control tokens from the first special id, as published with the Muse checkpoints (whose first special
# id is 200000; ours is the vocabulary size less `SPECIAL_TOKENS`). The offsets between are reserved.
SPECIAL_OFFSETS = {
    "<|begin_of_text|>": 0,
    "<|end_of_text|>": 1,
    "<|eom|>": 7,
    "<|eot|>": 8,
    "<|finetune_right_pad|>": 18,
    "<|start|>": 22,
    "<|message|>": 23,
    "<|audio|>": 38,
    "<|image_start|>": 80,
    "<|image_end|>": 81,
    "<|vid_start|>": 82,
    "<|vid_end|>": 83,
    "<|vid_frame_separator|>": 87,
    "<|image|>": 90,
    "<|video|>": 91,
    "<|patch|>": 92,
}
SPECIAL_TOKENS = 128


class Tokenizer:
    """A byte-level BPE with the Muse control tokens, read from a `tokenizer.json`.

    `max_image_tokens` is what the model was trained to see at most; by default what `processor_config.json` beside the
    file says, where the published checkpoints have it, or else their number. Raises ValueError when the file is missing
    or is not a tokenizer.
    """

    def __init__(self, path: Path | str, max_image_tokens: int | None = None) -> None:
        self.path = Path(path)
        beside = self.path.with_name("processor_config.json")
        if max_image_tokens is None and beside.is_file():
            max_image_tokens = most_image_tokens(beside.read_text(encoding="utf-8"))
        self.max_image_tokens = max_image_tokens or MAX_TOKENS
        if not self.path.is_file():
            raise ValueError(f"There is no tokenizer file at {self.path}.")
        definition = self.path.read_text(encoding="utf-8")
        self._controls = _parse(definition, self.path)
        # A copy of its own: the switch is a property of the whole object and requests run side by side.
        self._plain = _parse(definition, self.path)
        self._plain.encode_special_tokens = True

    @classmethod
    def default(cls) -> Tokenizer:
        """The tokenizer of the packaged model (read once)."""
        return _packaged()

    @property
    def vocab_size(self) -> int:
        """How many ids there are, control tokens included."""
        return self._controls.get_vocab_size()

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Ids of `text`; nothing is added. Control strings become control tokens only with `special`."""
        return (self._controls if special else self._plain).encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, control strings included; bytes that are not UTF-8 become U+FFFD."""
        return self._controls.decode(list(ids), skip_special_tokens=False)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one id stands for: what a stream decodes piece by piece, and what a grammar mask matches."""
        if token_id in self._special_ids:
            return self._special_ids[token_id].encode()
        token = self._controls.id_to_token(token_id)
        if token is None:
            raise ValueError(f"Token id {token_id} is outside the vocabulary of {self.vocab_size}.")
        return bytes(_byte_of_character()[character] for character in token)

    def id(self, token: str) -> int:
        """The id of one token, usually a control token such as `<|eot|>`."""
        token_id = self._controls.token_to_id(token)
        if token_id is None:
            raise ValueError(f"The tokenizer {self.path} has no token {token!r}.")
        return token_id

    def image_tokens(self, image: Image.Image) -> int:
        """How many `<|patch|>` tokens the picture takes, shrunk or not."""
        return image_tokens(image, max_tokens=self.max_image_tokens)

    def shown(self, image: Image.Image) -> Image.Image:
        """The picture as the model is shown it: shrunk to the grid of least distortion if it takes too many tokens."""
        if image_tokens(image) <= self.max_image_tokens:  # the model's own code brings it to its grid
            return image
        return resize_to_grid(image.convert("RGB"), max_tokens=self.max_image_tokens)

    @cached_property
    def eos_ids(self) -> list[int]:
        """Ids that end a turn. Never `<|eom|>`: the turn would die after its first thought."""
        return [self.id("<|end_of_text|>"), self.id("<|eot|>")]

    @cached_property
    def _special_ids(self) -> dict[int, str]:
        return {token_id: str(token) for token_id, token in self._controls.get_added_tokens_decoder().items()}


def most_image_tokens(processor_config: str) -> int | None:
    """`max_image_tokens` of a `processor_config.json`, if it has one."""
    return json.loads(processor_config).get("image_processor", {}).get("max_image_tokens")


def _parse(definition: str, path: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the Rust library raises Exception itself, so nothing narrower can be caught
        raise ValueError(f"{path} is not a tokenizer file: {error}") from error


@cache
def _packaged() -> Tokenizer:
    return Tokenizer(Path(str(resources.files("firesteel") / "assets" / "kindling" / "tokenizer.json")))


@cache
def _byte_of_character() -> dict[str, int]:
    """Byte-level BPE spells each byte as one printable character; this is the way back.

    Printable Latin-1 characters stand for themselves, the other bytes for the characters from U+0100 on, in order
    (Radford et al. 2019, GPT-2).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}
