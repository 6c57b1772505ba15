"""What is trained, as one module whose forward pass is the loss: FSDP gathers weights where a root module is called."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firesteel.model import Muse
from firesteel.model.moe import Experts
from firesteel.train.batches import DeviceBatch, Packed
from firesteel.train.glyphs import GlyphHead

NAMED = 0.3  # what naming squares weighs beside learning text


class Learner(nn.Module):
    """The model, and the head that names what squares show; `dtype` is that of matrix products."""

    def __init__(self, model: Muse, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        self.glyphs = GlyphHead(model.config.text.hidden_size)  # used by reading stages and beside text (`Stage.named`)
        self._trunk: Callable[..., Tensor] = self._trunk_eager
        self._head_loss: Callable[..., Tensor] = self._head_loss_eager

    def compile_parts(self, spread: bool) -> None:
        """Compiles the text trunk, because every batch has one shape, and the head, whose number of rows differs.

        A trunk spread over ranks is compiled layer by layer, for its weights are gathered between them; call it before
        they are. The number of pictures differs from batch to batch, so the tower is left alone; so are experts, whose
        grouped product the compiler knows in bf16 only.
        """
        for module in self.model.modules():
            if isinstance(module, Experts):
                module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]
        if spread:
            for layer in self.model.model.language_model.layers:
                layer.compile()
            return
        self._trunk = torch.compile(self._trunk_eager)
        self._head_loss = torch.compile(self._head_loss_eager, dynamic=True)

    def _trunk_eager(self, embedded: Tensor, docs: Tensor, after: Tensor | None, positions: Tensor | None) -> Tensor:
        """(R, L, D) embeddings and what `Packed` takes -> (R, L, D) normed hidden states."""
        return self.model.model.language_model(embedded, Packed(docs, self.model.config.text, after, positions))

    def _head_loss_eager(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(N, D) hidden states and (N,) next tokens -> summed cross-entropy, fp32."""
        return F.cross_entropy(self.model.logits(hidden).float(), targets, reduction="sum")

    def forward(self, data: DeviceBatch) -> Tensor:
        """This part's share of the mean loss over the learnt tokens, and of that over characters where there are pages.

        The language head sees no other tokens. Where both are learnt, characters weigh `NAMED`.
        """
        with torch.autocast(data.ids.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            features = self._features(data)
            losses = []
            if data.glyphs is not None:
                assert features is not None
                losses.append(data.glyph_share * self.glyphs.loss(features[-len(data.glyphs) :], data.glyphs))
            if data.ids.numel():
                hidden, targets = self.hidden(data, features)
                losses.insert(0, data.share * self._head_loss(hidden, targets) / max(1, len(targets)))
        return losses[0] if len(losses) == 1 else losses[0] + NAMED * losses[1]

    def _features(self, data: DeviceBatch) -> Tensor | None:
        """(squares, D) of all pictures of the batch, if it has any."""
        if data.pixels is None or data.grid is None:
            return None
        return self.model.image_features(data.pixels, data.grid)

    def hidden(self, data: DeviceBatch, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, D) normed states at the positions whose next token is learnt, in order, and (N,) those tokens."""
        embedded = self.model.model.language_model.embed(data.ids)
        features = self._features(data) if features is None else features
        if features is not None and data.grid is not None:
            features = features.to(embedded.dtype)
            if len(data.shown) > len(set(data.shown)):
                tokens = data.grid.prod(-1) // self.model.config.vision.merge_size**2
                pictures = features.split(tokens.tolist())
                features = torch.cat([pictures[number] for number in data.shown])
            embedded = embedded.masked_scatter((data.ids == self.model.config.image_token_id)[..., None], features)
        where = data.learnt.flatten().nonzero()[:, 0]
        states = self._trunk(embedded, data.docs, data.after, data.positions).flatten(0, 1)
        return states[where], data.targets.flatten()[where]


def precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of matrix products. "auto": bf16 on GPUs and on CPUs with AMX; elsewhere CPUs only emulate it.

    Raises ValueError for an unknown name.
    """
    known = {"bf16": torch.bfloat16, "fp32": torch.float32}
    if name != "auto":
        if name not in known:
            raise ValueError(f"precision is auto, bf16 or fp32, not {name!r}")
        return known[name]
    fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32
