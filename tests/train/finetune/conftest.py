"""Tiny checkpoints to tune: a random Muse of ours, and a Llama such as users bring."""

from pathlib import Path

import pytest
import transformers

from firesteel.model import Config, Muse, save
from firesteel.recipes.kindling import glimmer
from firesteel.train.finetune.examples import Example
from firesteel.train.tokenizer import train_tokenizer
from tests.backends import tiny

TURNS = (
    "<s>{% for m in messages %}<turn>{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}</s>"
    "{% endgeneration %}{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant:{% endif %}"
)


@pytest.fixture(scope="session")
def muse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("muse")
    train_tokenizer([tiny.WORDS] * 50, 1024, out=directory)
    model = Muse(
        Config.from_dict(glimmer(vocab=1024, width=64, layers=4, heads=1, ffn=96, vision_width=64, vision_layers=2))
    )
    model.init_weights(0)
    save(model, directory)
    return directory


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("llama")
    config = transformers.LlamaConfig(**tiny.TEXT | {"num_hidden_layers": 2, "max_position_embeddings": 512})
    tiny.randomise(transformers.LlamaForCausalLM(config)).save_pretrained(directory)
    tokenizer = tiny.make_tokenizer()
    tokenizer.chat_template = TURNS
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def example():
    def example(*messages, tools=(), strength=64):
        return Example(tuple(messages), tuple(tools), strength, "data.jsonl, line 1")

    return example
