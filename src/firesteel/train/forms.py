"""Sentences from forms: "{Hi|Hello} {name}" is either word and a name. Alternatives may be empty and hold slots."""

from __future__ import annotations

import random
import re
from collections.abc import Callable


def filled(rng: random.Random, form: str, slot: Callable[[str], str]) -> str:
    """The form with `slot(name)` for every slot and one of each alternatives."""
    form = re.sub(r"\{(\w+)\}", lambda found: slot(found[1]), form)
    while found := re.search(r"\{([^{}]*)\}", form):
        form = form[: found.start()] + rng.choice(found[1].split("|")) + form[found.end() :]
    return form


def typed(rng: random.Random, text: str) -> str:
    """As people type: in small letters, with another stop, or none."""
    text = text.lower() if rng.random() < 0.4 else text
    stem = text.rstrip("?.!")
    return rng.choice((text, text, stem, stem + ("?" if text.endswith("?") else rng.choice("!.."))))
