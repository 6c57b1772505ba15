"""Names of models: one model answers under several, which choose the mode.

`NAME` thinks, `NAME-instant`, `NAME-thinking` and `NAME-contemplating` say it; aliases work the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from firesteel.agent.mind import MODES
from firesteel.server.errors import ApiError


def name_of(address: str) -> str:
    """A short name for a model's address: what stands after `#`, or the last part of a path without its suffix."""
    _, _, named = address.partition("#")
    path = named or address.rstrip("/")
    return path.split("/")[-1].removesuffix(".gguf") or "model"


class Names:
    """The names that are served."""

    def __init__(self, name: str, aliases: Sequence[str] = ()) -> None:
        self.name, self._bases = name, (name, *aliases)

    def __iter__(self) -> Iterator[str]:
        for base in self._bases:
            yield base
            yield from (f"{base}-{mode}" for mode in MODES)

    def mode(self, name: str) -> str | None:
        """The mode that a name demands, None where it demands none. Raises ApiError (404) for an unknown name."""
        for base in self._bases:
            if name == base:
                return None
            if name.startswith(f"{base}-") and name[len(base) + 1 :] in MODES:
                return name[len(base) + 1 :]
        raise ApiError(
            404,
            f"There is no model {name!r}; there are: {', '.join(self)}.",
            param="model",
            code="model_not_found",
        )
