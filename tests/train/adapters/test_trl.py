"""TRL's trainer runs on our problems, reads rewards as our own readers do, and is told the strength of each row."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers

from firesteel.format import Message, Part, Tokenizer, render
from firesteel.tasks import make
from firesteel.train.adapters.trl import dataset, reward_funcs, row_strength
from firesteel.train.rl.reward import PENALTY

pytest.importorskip("datasets", reason="TRL and datasets are not installed: pip install 'firesteel[trl]'")

from tests.backends.tiny import make_tokenizer


@pytest.fixture(scope="module")
def muse(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from importlib import resources

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(Tokenizer.default().path), eos_token="<|eot|>", pad_token="<|finetune_right_pad|>"
    )
    template = (resources.files("firesteel") / "format" / "chat_template.jinja").read_text(encoding="utf-8")
    tokenizer.chat_template = row_strength(template)
    return tokenizer


def ids(tokenizer: Any, *texts: str) -> list[list[int]]:
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in ("family", "level", "number", "strength")}


def test_rows_are_conversations_with_their_pictures(muse: Any) -> None:
    rows = dataset(4, ["chain_sum", "clock"], strengths=["low"])
    text, picture = rows[0], rows[1]
    assert text["images"] == [] and picture["images"][0].size == make("clock", picture["number"]).image.size
    system, user = picture["prompt"]
    shown = {
        "role": "user",
        "content": [{"type": "image"}, {"type": "text", "text": user["content"]}],
    }  # as TRL does it
    for line in (system, {"role": "system", "content": [{"type": "text", "text": system["content"]}]}):
        rendered = muse.apply_chat_template([line, shown], tokenize=False, add_generation_prompt=True)
        content = [Part(image=picture["images"][0]), Part(user["content"])]
        before, number, after = render([Message("user", content)], strength="low").segments
        assert number == 0 and rendered == f"{before}<|patch|>{after}"
    assert "images" not in dataset(2, ["chain_sum"]).column_names


def test_the_strength_of_a_row_reaches_a_muse_model(muse: Any) -> None:
    for strength, number in (("low", 16), ("xhigh", 512)):
        prompt = dataset(1, ["chain_sum"], strengths=[strength])[0]["prompt"]
        text = muse.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        assert text == render([Message("user", prompt[1]["content"])], strength=number).text
    plain = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert "Be kind.\n\nReasoning strength: 64." in muse.apply_chat_template(plain, tokenize=False)


def test_muse_answers_are_rewarded_and_thoughts_priced(muse: Any) -> None:
    row = dataset(1, ["chain_sum"], strengths=["low"])[0]
    answer = make("chain_sum", row["number"]).answer
    said = ids(
        muse,
        f" to=user<|message|>{answer}<|eot|>",
        f" to=self<|message|>think<|eom|><|start|>assistant to=user<|message|>{answer}.<|eot|>",
        f" to=self<|message|>{'think ' * 20}<|eom|><|start|>assistant to=user<|message|>{answer}<|eot|>",
        f" to=user<|message|>{answer}",
        " to=user<|message|>no idea<|eot|>",
        f" to=self<|message|>{answer}",
    )
    correct, cost = reward_funcs(muse)
    group = columns([row] * len(said))
    assert correct(completion_ids=said, **group) == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    paid = cost(completion_ids=said, **group)
    assert paid[0] == paid[3] == paid[4] == 0.0 > paid[1] > paid[2] == pytest.approx(-0.5 * 0.5)
    more = cost(completion_ids=said, **columns([dict(row, strength="xhigh")] * len(said)))
    assert more == pytest.approx([price * PENALTY["xhigh"] / PENALTY["low"] for price in paid])


def test_groups_pay_by_their_own_pass_rate(muse: Any) -> None:
    one, two = dataset(2, ["chain_sum", "compare"], strengths=["medium"])
    answer = make("chain_sum", one["number"]).answer
    right = f" to=self<|message|>so<|eom|><|start|>assistant to=user<|message|>{answer}<|eot|>"
    wrong = " to=self<|message|>so it is<|eom|><|start|>assistant to=user<|message|>no<|eot|>"
    _, cost = reward_funcs(muse)
    paid = cost(completion_ids=ids(muse, right, wrong, right, wrong), **columns([one, two, one, two]))
    assert paid == pytest.approx([-PENALTY["medium"], 0.0, -PENALTY["medium"], 0.0])


def test_other_models_thoughts_are_read_too() -> None:
    tokenizer = make_tokenizer()
    row = dataset(1, ["chain_sum"], strengths=["low"])[0]
    answer = make("chain_sum", row["number"]).answer
    said = ids(tokenizer, f"<think>so</think>\n{answer}</s>", f"{answer}</s>", f"<think>so</think>{answer}")
    correct, cost = reward_funcs(tokenizer)
    assert correct(completion_ids=said, **columns([row] * 3)) == [1.0, 1.0, 0.0]
    assert cost(completion_ids=said, **columns([row] * 3))[:2] == [pytest.approx(-1 / 3), 0.0]


def test_a_template_that_opens_the_thought_is_followed() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template += "{% if add_generation_prompt and not quiet %}<think>{% endif %}"
    row = dataset(1, ["chain_sum"])[0]
    said = ids(tokenizer, f"so</think>{make('chain_sum', row['number']).answer}</s>")
    assert reward_funcs(tokenizer)[0](completion_ids=said, **columns([row])) == [1.0]
    assert reward_funcs(tokenizer, quiet=True)[0](completion_ids=said, **columns([row])) == [0.0]


def test_the_trainer_does_two_steps(muse: Any, tmp_path: Any) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed: pip install 'firesteel[trl]'")
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"eos_token_id": muse.eos_token_id, "pad_token_id": muse.pad_token_id, "bos_token_id": None}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(muse), **size, **ends))
    before = model.lm_head.weight.detach().clone()

    def any_difference(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        return [sum(ids) % 7 for ids in completion_ids]  # a random model is never right

    trainer = trl.GRPOTrainer(
        model=model,
        processing_class=muse,
        reward_funcs=[*reward_funcs(muse), any_difference],
        train_dataset=dataset(8, ["chain_sum", "compare"], strengths=["low", "high"]),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=8, num_generations=4,
            max_completion_length=8, learning_rate=1e-2, loss_type="cispo", epsilon_high=5.0, scale_rewards="batch",
            beta=0.0, logging_steps=1, report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True,
        ),
    )  # fmt: skip
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(logged) == 2
    assert all({"rewards/correct/mean", "rewards/thinking_cost/mean"} <= entry.keys() for entry in logged)
    assert not torch.equal(before, model.lm_head.weight)
