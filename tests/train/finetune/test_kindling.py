import pytest
import torch
from PIL import Image

from firesteel.format import Message, Part, ToolCall
from firesteel.train.finetune.fit import Settings, fit
from firesteel.train.finetune.kindling import Kindling

CPU = torch.device("cpu")


def talk(question, answer, colour=None):
    pictures = [Part(image=Image.new("RGB", (56, 28), colour))] if colour else []
    return Message("user", [*pictures, Part(text=question)]), Message("assistant", answer)


def test_exactly_what_the_assistant_says_is_learnt(muse, example):
    learner = Kindling(str(muse), CPU)
    messages = [
        Message("user", "count"),
        Message("assistant", "", "A tool.", tool_calls=[ToolCall("add", {"x": 1}, "a")]),
        Message("tool", "4", name="add", tool_call_id="a"),
        Message("assistant", "12 circles"),
    ]
    (sample,) = learner.samples(example(*messages, strength=16))
    learnt = [id for id, is_learnt in zip(sample.ids, sample.mask, strict=True) if is_learnt]
    assert learner.tokenizer.decode(learnt) == (
        " to=self<|message|>A tool.<|eom|><|start|>assistant to=add<|message|><atem:function_calls>\n"
        '<atem:invoke name="add">\n<atem:parameter name="x">1</atem:parameter>\n</atem:invoke>\n</atem:function_calls>'
        "<|eot|> to=user<|message|>12 circles<|eot|>"
    )
    assert "Reasoning strength: 16." in learner.tokenizer.decode(sample.ids)


def test_the_loss_of_padded_rows_is_the_sum_of_their_losses(muse, example):
    """Rows of different lengths, some with pictures: none notices the others."""
    learner = Kindling(str(muse), CPU)
    talks = [talk("the fox", "red"), talk("what is it?", "a quick fox", "red"), talk("count these", "12", "blue")]
    samples = [learner.samples(example(*messages))[0] for messages in talks]
    alone = sum(learner.loss([sample]).item() for sample in samples)
    assert learner.loss(samples).item() == pytest.approx(alone, rel=1e-5)
    assert learner.loss(samples[::-1]).item() == pytest.approx(alone, rel=1e-5)


def test_a_picture_can_be_learnt(muse, example):
    """The question is the same: only the picture tells the answers apart."""
    learner = Kindling(str(muse), CPU)
    talks = [talk("colour?", "red", (255, 0, 0)), talk("colour?", "blue", (0, 0, 255))]
    samples = [learner.samples(example(*messages))[0] for messages in talks]
    report = fit(learner, samples, [], Settings(rate=1e-2, epochs=25, batch=2))
    assert report.training[-1] < 0.1 < 0.5 < report.training[0]


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing here"):
        Kindling(str(tmp_path / "nothing here"), CPU)
    with pytest.raises(ValueError, match="no file"):
        Kindling(str(tmp_path / "none.gguf"), CPU)
