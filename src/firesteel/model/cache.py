"""The preallocated key/value cache: rows of independent length, bounded by the window where a layer slides.

Shapes: b rows of a step, T tokens, H query heads, K key/value heads, E head size, R slots of a layer.
The token at position p of a row lies in slot p % R: in a full layer R is the whole length, in a sliding layer the
window, so that the ring holds exactly what the next token may see.

    cache = Cache(config.text, rows=8, max_len=1024)
    hidden = model.hidden(prompt, attend=cache.step(len, rows=[3]))     # prefill row 3, whole or in chunks
    cache.copy(3, [4, 5])                                               # the same prefix for two more samples
    hidden = model.hidden(last, attend=cache.step(1, rows=[3, 4, 5]))   # (3, 1): one token each
    cache.free(4)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from firesteel.model.config import TextConfig


class Cache:
    """Keys and values of `rows` sequences of at most `max_len` tokens. `lengths` tells how many each row holds."""

    def __init__(
        self,
        config: TextConfig,
        rows: int,
        max_len: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        assert rows > 0 and max_len > 0
        self.max_len = max_len
        self.device = torch.device(device)
        self.lengths = [0] * rows
        self.window = config.sliding_window
        self.slots = [
            max_len if kind == "full_attention" else min(max_len, config.sliding_window) for kind in config.layer_types
        ]
        # One slot more than is read takes what later tokens of the same step push out of the ring.
        shapes = [(rows, config.num_key_value_heads, slots + 1, config.head_dim) for slots in self.slots]
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]

    def step(self, length: int, rows: Sequence[int] | None = None) -> Step:
        """Plan a forward pass over `length` more tokens of each of the given rows (None: all) and count them.

        Rows that follow each other are read in place, others are gathered first: keep running rows together.
        Raises ValueError where a row would outgrow the cache.
        """
        rows = range(len(self.lengths)) if rows is None else rows
        starts = [self.lengths[row] for row in rows]
        if max(starts) + length > self.max_len:
            raise ValueError(f"A sequence of {max(starts) + length} tokens does not fit a cache of {self.max_len}.")
        for row in rows:
            self.lengths[row] += length
        return Step(self, length, list(rows), starts)

    def copy(self, source: int, targets: Sequence[int]) -> None:
        """Let other rows go on from what `source` holds."""
        length = self.lengths[source]
        for store in (self.keys, self.values):
            for tensor, slots in zip(store, self.slots, strict=True):
                used = min(length, slots)
                for target in targets:
                    tensor[target, :, :used] = tensor[source, :, :used]
        for target in targets:
            self.lengths[target] = length

    def free(self, row: int) -> None:
        """Empty a row for another sequence."""
        self.lengths[row] = 0


@dataclass(frozen=True)
class _Plan:
    """How the layers with the same number of slots attend in one step."""

    write: Tensor  # (b K T,) places in the flattened keys and values
    seen: int  # slots to read; 0: nothing but the new tokens
    mask: Tensor | None  # additive, broadcast to (b, 1, T, keys)
    causal: bool  # plain causal attention among the new tokens


class Step:
    """One planned forward pass: the `Attend` of the decoder that reads and fills the cache."""

    def __init__(self, cache: Cache, length: int, rows: list[int], starts: list[int]) -> None:
        self.cache = cache
        self.length = length
        device = cache.device
        adjacent = rows == list(range(rows[0], rows[0] + len(rows)))
        self.rows: slice | Tensor = slice(rows[0], rows[-1] + 1) if adjacent else torch.tensor(rows, device=device)
        self.starts = starts
        start = torch.tensor(starts, device=device)[:, None]
        self.positions = start + torch.arange(length, device=device)  # (b, T)
        row = torch.tensor(rows, device=device)
        plans: dict[int, _Plan] = {}
        for slots in cache.slots:
            if slots not in plans:
                plans[slots] = self._next(slots, rows) if length == 1 else self._chunk(slots, row, start)
        self.plans = [plans[slots] for slots in cache.slots]

    def _next(self, slots: int, rows: list[int]) -> _Plan:
        """One token per row: it is written first, and then all it may see lies in the ring. Planned without torch."""
        heads = self.cache.keys[0].shape[1]
        write = [
            (row * heads + head) * (slots + 1) + start % slots
            for row, start in zip(rows, self.starts, strict=True)
            for head in range(heads)
        ]
        place = torch.tensor(write, device=self.cache.device)
        seen = min(slots, max(self.starts) + 1)
        if min(self.starts) + 1 >= seen:
            return _Plan(place, seen, None, False)
        visible = torch.arange(seen, device=self.cache.device) <= self.positions  # (b, seen)
        return _Plan(place, seen, self._additive(visible)[:, None, None], False)

    def _chunk(self, slots: int, row: Tensor, start: Tensor) -> _Plan:
        """Several tokens per row: they see each other and what the ring held before them."""
        cache, positions = self.cache, self.positions
        heads = cache.keys[0].shape[1]
        # What later tokens of the same step push out of the ring goes to the spare slot.
        kept = positions >= start + self.length - slots
        place = torch.where(kept, positions % slots, slots)[:, None]  # (b, 1, T)
        head = torch.arange(heads, device=cache.device)[None, :, None]
        write = ((row[:, None, None] * heads + head) * (slots + 1) + place).flatten()
        column = torch.arange(self.length, device=cache.device)
        distance = column[:, None] - column  # (T, T)
        within = (distance >= 0) & ((distance < cache.window) if slots < cache.max_len else True)
        if max(self.starts) == 0:
            if slots == cache.max_len or self.length <= cache.window:
                return _Plan(write, 0, None, True)
            return _Plan(write, 0, self._additive(within), False)
        seen = min(slots, max(self.starts))
        # The newest position before this step that lies in each slot; negative where there is none.
        held = start - 1 - (start - 1 - torch.arange(seen, device=cache.device)) % slots  # (b, seen)
        past = (held >= 0)[:, None].expand(-1, self.length, -1)
        if slots < cache.max_len:
            past = past & (positions[:, :, None] - held[:, None] < cache.window)
        both = torch.cat((past, within.expand(len(past), -1, -1)), dim=-1)
        return _Plan(write, seen, self._additive(both)[:, None], False)

    def _additive(self, visible: Tensor) -> Tensor:
        mask = torch.zeros(visible.shape, dtype=self.cache.keys[0].dtype, device=visible.device)
        return mask.masked_fill_(~visible, float("-inf"))

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
        """query (b, H, T, E), key and value (b, K, T, E) -> (b, H, T, E); the new keys and values are kept.

        `scale` multiplies the scores; None: one over the root of E.
        """
        plan, cache = self.plans[layer], self.cache
        heads, size = key.shape[1], key.shape[-1]
        if self.length > 1 and plan.seen:
            old = (cache.keys[layer][self.rows, :, : plan.seen], cache.values[layer][self.rows, :, : plan.seen])
            keys, values = torch.cat((old[0], key), dim=2), torch.cat((old[1], value), dim=2)
        else:
            keys, values = key, value
        cache.keys[layer].view(-1, size).index_copy_(0, plan.write, key.reshape(-1, size))
        cache.values[layer].view(-1, size).index_copy_(0, plan.write, value.reshape(-1, size))
        if self.length > 1:
            return F.scaled_dot_product_attention(
                query, keys, values, plan.mask, is_causal=plan.causal, scale=scale, enable_gqa=True
            )
        keys, values = cache.keys[layer][self.rows, :, : plan.seen], cache.values[layer][self.rows, :, : plan.seen]
        # The query heads that share a key head stand in line as if they were tokens.
        grouped = query.reshape(len(query), heads, -1, size)
        return F.scaled_dot_product_attention(grouped, keys, values, plan.mask, scale=scale).view_as(query)
