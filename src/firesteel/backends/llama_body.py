"""A `Request` as what llama.cpp's server is asked, but for the prompt.

- Sampling goes biases, penalties, temperature, top-k, top-p.
- llama.cpp's penalties count the prompt as well, where the `<|eom|>` of a long conversation would keep an answer from
  ending. A bias takes back what they take off for it.
- Forced tokens are a grammar that is these tokens one after the other. Two kinds stand in no grammar and come by a
  bias: tokens that end the generation, where the grammar before them is done, and those without a text (see
  `gguf_header.py`), one at a time.
- llama.cpp tells the log-probabilities of the bare logits, whatever biases, penalties and grammars did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from typing import Any

from firesteel.backends.base import Request
from firesteel.backends.grammar import turn_grammar
from firesteel.format import Tokenizer

_SURE = 1e6  # a bias against which no logit stands
_NEVER = 1e-9  # of the likeliest token's probability after temperature; what is below is left out, to draw from fewer
_COMMON = {
    "stream": True,
    "return_tokens": True,
    "cache_prompt": True,
    "response_fields": ["index", "stop", "stop_type", "timings/cache_n"],
}
_THOUGHT = " to=self<|message|>"


def body(request: Request, tokenizer: Tokenizer, prompt: Sequence[int], room: int) -> dict[str, Any]:
    """How to go on after the tokens `prompt`, for at most `room` of them.

    Raises ValueError for a schema that cannot be enforced, or a choice that is no tool.
    """
    asked = _COMMON | {"n_predict": room, "temperature": request.temperature}
    samplers = ["temperature"]
    if request.temperature > 0:
        samplers = ["min_p", "temperature", "top_k", "top_p"]
        asked |= {"min_p": _NEVER**request.temperature, "top_k": request.top_k, "top_p": request.top_p}
    bias: dict[int, float] = {}
    if request.presence_penalty or request.frequency_penalty:
        samplers.insert(0, "penalties")
        asked |= {
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "repeat_last_n": len(prompt) + room,
        }
        for id, count in Counter(prompt).items():
            bias[id] = request.presence_penalty + count * request.frequency_penalty
    for id, value in request.logit_bias.items():
        bias[id] = bias.get(id, 0.0) + value
    if bias:
        asked["logit_bias"] = [[id, request.logit_bias.get(id, 0) > -100 and value] for id, value in bias.items()]
    if request.logprobs is not None:
        asked["n_probs"] = max(1, request.logprobs)
    if request.stop:
        asked["timings_per_token"] = True  # the end is found here, before llama.cpp tells what was cached
    grammar = turn_grammar(tokenizer.id, request.json_schema, request.tools, request.tool_choice)
    if grammar is not None:
        asked["grammar"] = grammar
    if request.thinking_budget is not None:
        # After the thought comes the answer, or the call that was demanded (which one the mask decides).
        recipient = " to=user<|message|>" if request.tool_choice in ("auto", "none") else ""
        asked |= {
            "reasoning_budget_tokens": max(0, request.thinking_budget),
            "reasoning_budget_start_tag": _THOUGHT,
            "reasoning_budget_end_tags": [f"<|start|>assistant{recipient}", "<|eom|>"],
            "reasoning_budget_message": "<|eom|>",  # stands before the first end tag
        }
    return asked | {"samplers": samplers}


def forced(
    request: Request, alone: Collection[int], ends: Collection[int]
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """The forced tokens in pieces, each with how to ask for its log-probabilities; none where nobody wants those.

    `alone` are in no grammar; those of them that are `ends` end the generation.
    """
    if request.logprobs is None:
        return
    asked = _COMMON | {"temperature": 0, "samplers": ["temperature"], "n_probs": max(1, request.logprobs)}
    ids = list(request.forced)
    while ids:
        named = list(takewhile(lambda id: id not in alone, ids))
        rest = ids[len(named) :]
        biased = rest[:1] if not named or (rest and rest[0] in ends) else []
        piece, ids = named + biased, rest[len(biased) :]
        how: dict[str, Any] = {"grammar": "root ::= " + " ".join(f"<[{id}]>" for id in named)} if named else {}
        if biased:
            how["logit_bias"] = [[biased[0], _SURE]]
        yield piece, asked | how | {"n_predict": len(piece)}
