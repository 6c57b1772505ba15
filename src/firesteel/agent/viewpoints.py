"""Agents that see one picture from different places, so that they do not all misread it in the same way.

A small mind's mistakes are mostly those of reading, and eight samples of one reading repeat them; shown on another
ground (`firesteel.agent.eyes.moved`) the same picture falls into other squares: test-time augmentation, as for
classifiers (Krizhevsky et al. 2012). What an agent says of places is told of the picture as it was.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from firesteel.agent.answers import remapped
from firesteel.agent.eyes import View, moved
from firesteel.format import Message, Part


def viewpoint(messages: Sequence[Message], agent: int) -> tuple[list[Message], View | None]:
    """The conversation as this agent sees it, and where the picture is in what it sees.

    The first agent sees it as it is; so do all where there is no picture, or more than one, of which nobody could tell
    whose places an answer names.
    """
    if agent == 1 or sum(len(message.images) for message in messages) != 1:
        return list(messages), None
    shown, view = [], None
    for message in messages:
        if message.images:
            view = moved(message.images[0], random.Random(agent))
            parts = [Part(image=view.image) if part.image is not None else part for part in message.parts]
            message = replace(message, content=parts)
        shown.append(message)
    return shown, view


def at_root(message: Message, view: View | None) -> Message:
    """What an agent said, its places told of the picture as it was."""
    if view is None or message.tool_calls:
        return message
    return replace(message, content=remapped(message.text, view.to_root))
