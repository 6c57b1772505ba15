import asyncio
import shutil

import peft
import pytest
import torch
import transformers
from PIL import Image

from firesteel.backends import open_backend
from firesteel.backends.base import Request, complete
from firesteel.format import Message, Part, ToolCall
from firesteel.train.finetune.fit import Settings, fit
from firesteel.train.finetune.kindling import Kindling
from firesteel.train.finetune.lora import Lora
from tests.backends import tiny
from tests.train.finetune.conftest import TURNS

CPU = torch.device("cpu")
TALK = [
    Message("user", "the fox"),
    Message("assistant", "red", "quick"),
    Message("user", "count 12"),
    Message("assistant", "circles", "brown"),
]


@pytest.fixture
def lora(llama, tmp_path):
    """The Llama with a chat template of one's choice."""

    def lora(template=TURNS):
        directory = shutil.copytree(llama, tmp_path / "copy")
        (directory / "chat_template.jinja").write_text(template)
        return Lora(directory, CPU, rank=4)

    return lora


def learnt(learner, sample):
    return learner._tokenizer.decode([id for id, is_learnt in zip(sample.ids, sample.mask, strict=True) if is_learnt])


def test_what_is_learnt_is_what_a_template_with_marks_marks(lora, example):
    learner = lora()
    (sample,) = learner.samples(example(*TALK))
    assert learnt(learner, sample) == "<think>quick</think>red</s><think>brown</think>circles</s>"
    marked = learner._tokenizer.apply_chat_template(
        learner._messages(TALK), return_dict=True, return_assistant_tokens_mask=True
    )
    assert (sample.ids, sample.mask) == (marked["input_ids"], marked["assistant_masks"])


def test_what_follows_the_end_of_a_turn_is_not_learnt(lora, example):
    learner = lora(TURNS.replace("{% generation %}", "").replace("</s>{% endgeneration %}", "</s>\n"))
    (sample,) = learner.samples(example(*TALK))
    assert learnt(learner, sample) == "<think>quick</think>red</s><think>brown</think>circles</s>"
    assert learner._tokenizer.decode(sample.ids).count("</s>\n") == 1  # not behind the last


def test_a_template_that_never_ends_a_turn_is_taught_to(lora, example):
    learner = lora(TURNS.replace("</s>{% endgeneration %}", "{% endgeneration %}"))
    assert [learnt(learner, s) for s in learner.samples(example(*TALK))][-1].endswith("circles</s>")


def test_turns_are_samples_of_their_own_where_the_template_forgets_thoughts(lora, example):
    learner = lora(TURNS.replace("m.reasoning_content %}", "m.reasoning_content and loop.last %}"))
    first, second = learner.samples(example(*TALK))
    assert learnt(learner, first) == "<think>quick</think>red</s>"
    assert learnt(learner, second) == "<think>brown</think>circles</s>"
    assert "quick" not in learner._tokenizer.decode(second.ids)


def test_a_thought_that_the_prompt_opens_is_learnt_from_there(lora, example):
    learner = lora(TURNS + "{% if add_generation_prompt %}<think>{% endif %}")
    assert learnt(learner, learner.samples(example(*TALK[:2]))[0]) == "quick</think>red</s>"
    with pytest.raises(ValueError, match="reasoning_content"):
        learner.samples(example(TALK[0], Message("assistant", "red")))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message("assistant", "red</s>blue"), "control token"),
        (Message("assistant", "", tool_calls=[ToolCall("zoom", {}, "a")]), "leaves out .* 'zoom'"),
    ],
)
def test_what_the_template_cannot_say_is_refused(message, words, lora, example):
    with pytest.raises(ValueError, match=words):
        lora().samples(example(TALK[0], message))


def test_the_loss_of_padded_rows_is_the_sum_of_their_losses(lora, example):
    learner = lora()
    samples = [learner.samples(example(*talk))[0] for talk in (TALK, TALK[:2], TALK[2:])]
    alone = sum(learner.loss([sample]).item() for sample in samples)
    assert learner.loss(samples).item() == pytest.approx(alone, rel=1e-4)


def test_a_muse_checkpoint_reads_and_costs_the_same_as_in_our_own_model(muse, example):
    """Two independent ways: transformers with the chat template, our network with `format.render`."""
    picture = Part(image=Image.new("RGB", (60, 40), "red"))
    talk = [
        Message("user", [picture, Part(text="what is <|eot|> that?")]),
        Message("assistant", "", "I look.", tool_calls=[ToolCall("zoom", {"x": 1}, "a")]),
        Message("tool", [Part(text="crop"), picture], name="zoom", tool_call_id="a"),
        Message("assistant", "red circles", "It is red."),
    ]
    tools = [{"type": "function", "function": {"name": "zoom", "description": "", "parameters": {}}}]
    one = example(*talk, tools=tools)
    theirs, ours = Lora(muse, CPU), Kindling(str(muse), CPU)
    (a,), (b,) = theirs.samples(one), ours.samples(one)
    assert (a.ids, a.mask) == (b.ids, b.mask)
    assert theirs.loss([a]).item() == pytest.approx(ours.loss([b]).item(), rel=1e-3)


def test_pictures_pass_through_any_processor(tmp_path, example):
    tiny.randomise(tiny.gemma3()).save_pretrained(tmp_path)
    tiny.gemma3_processor().save_pretrained(tmp_path)
    learner = Lora(tmp_path, CPU, rank=2)

    def samples(colour):
        look = Message("user", [Part(text="look"), Part(image=Image.new("RGB", (40, 40), colour))])
        return learner.samples(example(look, Message("assistant", "red"), Message("user", "12"), TALK[1]))

    (red,), (blue,) = samples("red"), samples("blue")
    assert red.ids == blue.ids
    losses = [learner.loss([sample]) for sample in (red, blue)]
    assert losses[0].item() != losses[1].item()
    assert learner.loss([red, blue]).item() == pytest.approx(sum(losses).item(), rel=1e-4)
    losses[0].backward()
    assert any(
        p.grad is not None and p.grad.abs().max() > 0 for n, p in learner.model.named_parameters() if "vision" in n
    )


def test_a_tuned_checkpoint_answers_as_taught_and_serves(lora, example, tmp_path):
    learner = lora()
    talks = [("the fox", "red"), ("count 12", "circles"), ("quick", "brown")]
    samples = [learner.samples(example(Message("user", q), Message("assistant", a)))[0] for q, a in talks]
    report = fit(learner, samples, [], Settings(rate=2e-2, epochs=50, batch=3))
    assert report.training[-1] < 0.1 * report.training[0]
    with torch.no_grad():
        tuned = learner.model(torch.tensor([samples[0].ids])).logits
    base = transformers.AutoModelForCausalLM.from_pretrained(learner.directory)
    out = tmp_path / "out"
    shutil.copytree(learner.directory, out)
    (address,) = learner.save(out)
    adapted = peft.PeftModel.from_pretrained(base, out / "adapter")
    torch.testing.assert_close(adapted(torch.tensor([samples[0].ids])).logits, tuned, atol=1e-4, rtol=1e-3)
    backend = open_backend(address)
    for question, answer in talks:
        request = Request(messages=[Message("user", question)], temperature=0, max_tokens=20)
        (said,) = asyncio.run(complete(backend, request))
        assert said.parse().answer == answer
