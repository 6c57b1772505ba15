import pytest
import torch

from firesteel.engine import Engine, Sampling
from firesteel.engine.thought import ThoughtBudget
from tests.engine.tiny import make_pair, text_prompt

CLOSING = "<|eom|><|start|>assistant to=user<|message|>"


def closings(tokenizer, budget, text):
    """Feed a turn; the texts after which the closing was demanded."""
    thought, seen, found = ThoughtBudget(tokenizer, budget, CLOSING), [], []
    for token in tokenizer.encode(text, special=True):
        seen.append(token)
        forced = thought.feed(token)
        if forced:
            assert tokenizer.decode(forced) == CLOSING
            found.append(tokenizer.decode(seen))
    return found


def test_the_thought_is_closed_at_the_budget(tokenizer):
    words = tokenizer.decode(tokenizer.encode(" The quick brown fox jumps")[:3])
    assert closings(tokenizer, 3, f" to=self<|message|>{words}") == [f" to=self<|message|>{words}"]


def test_no_budget_closes_at_once(tokenizer):
    assert closings(tokenizer, 0, " to=self<|message|>") == [" to=self<|message|>"]


@pytest.mark.parametrize(
    "turn",
    [
        " to=self<|message|>ab<|eom|><|start|>assistant to=user<|message|>The quick brown fox jumps over lazy dogs",
        " to=user<|message|>to=self The quick brown fox jumps over lazy dogs<|eot|>",
    ],
)
def test_only_thoughts_count(tokenizer, turn):
    assert closings(tokenizer, 5, turn) == []


def test_the_budget_is_for_all_thoughts_of_a_turn(tokenizer):
    first = " to=self<|message|>" + tokenizer.decode(tokenizer.encode("The quick brown fox")[:2]) + "<|eom|>"
    second = "<|start|>assistant to=self<|message|>" + tokenizer.decode(tokenizer.encode("lazy dogs over")[:1])
    assert closings(tokenizer, 3, first + second) == [first + second]


def test_the_engine_writes_the_closing(tokenizer, monkeypatch):
    pair = make_pair("muse_glimmer", vocabulary=512)
    head, word = tokenizer.encode(" to=self<|message|>", special=True), tokenizer.encode(" fox")[-1]
    says = iter([*head, *[word] * 30])
    monkeypatch.setattr("firesteel.engine.engine.sample", lambda logits, *rest: torch.tensor([next(says)]))
    engine = Engine(pair.ours, tokenizer, slots=1, context=64)
    job = engine.submit(text_prompt(9), sampling=Sampling(max_tokens=25, thinking_budget=4))
    while not job.done:
        engine.step()
    closing = tokenizer.encode(CLOSING, special=True)
    [rollout] = job.rollouts
    rest = 25 - len(head) - 4 - len(closing)
    assert rollout.token_ids == [*head, *[word] * 4, *closing, *[word] * rest]
    expected = pair.logprobs(job.prompt, rollout.token_ids)
    own = expected.gather(-1, torch.tensor(rollout.token_ids)[:, None])[:, 0]
    assert (torch.tensor(rollout.logprobs) - own).abs().max() < 2e-4
