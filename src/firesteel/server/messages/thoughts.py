"""Thoughts that go out and come back: how much of them is shown, and their signatures.

A signature is the mark that a thought is whole. Where the caller wants no thoughts but will send them back (`display:
"omitted"`), it carries the thought itself. Callers may put any thought into a conversation, so the key guards against
damage, not against people: it is no secret, and every replica knows it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Literal

Display = Literal["shown", "omitted", "hidden"]  # hidden: not even a block; nobody asked for thoughts
_KEY = b"firesteel.thinking"


def sign(thought: str, display: Display) -> str:
    """The signature of a thought."""
    data = thought.encode("utf-8", "replace")
    carried = base64.urlsafe_b64encode(data).decode() if display == "omitted" else ""
    return f"{carried}.{hmac.digest(_KEY, data, 'sha256').hex()}"


def thought_of(text: str, signature: str) -> str:
    """The thought of a block that came back: what its signature carries, else its text, whoever signed that."""
    carried, _, mark = signature.partition(".")
    try:
        data = base64.b64decode(carried, altchars=b"-_", validate=True)
        if data and hmac.compare_digest(hmac.digest(_KEY, data, "sha256").hex(), mark):
            return data.decode()
    except (binascii.Error, ValueError, TypeError):  # foreign
        pass
    return text
