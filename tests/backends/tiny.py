"""Tiny random checkpoints of the architectures that users bring."""

import tokenizers
import torch
import transformers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

SPECIAL = ["<pad>", "<s>", "</s>", "<turn>", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[TOOL_CALLS]", "[ARGS]"]
PLAIN = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
IMAGE = SPECIAL.index("[IMG]")
TEMPLATE = (
    "<s>{% if reasoning_effort == 'high' %}hard {% endif %}"
    "{% for message in messages %}<turn>{{ message.role }}:{{ message.name or '' }}"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{{ part.text if part.type == 'text' else '[IMG]' }}{% endfor %}{% endif %}"
    "{% for call in message.tool_calls or [] %}[TOOL_CALLS]{{ call.function.name }}[ARGS]"
    "{{ call.function.arguments | tojson }}{% endfor %}</s>{% endfor %}"
    "{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant:{% endif %}"
)
WORDS = "the quick brown fox counts 12 red circles; assistant user tool system: Grüße ☕"
VOCAB = 320


TEXT = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def llama4():
    text = TEXT | {"intermediate_size_mlp": 48, "num_local_experts": 4, "attention_chunk_size": 32}
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision |= {"image_size": 28, "patch_size": 14, "vision_output_dim": 16, "projector_input_dim": 16}
    vision |= {"projector_output_dim": 16}
    config = transformers.Llama4Config(text_config=text, vision_config=vision, image_token_index=IMAGE)
    return transformers.Llama4ForConditionalGeneration(config)


def gemma3():
    text = TEXT | {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"] * 2}
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    vision |= {"image_size": 28, "patch_size": 7}
    ids = {"boi_token_index": IMAGE, "image_token_index": IMAGE + 1, "eoi_token_index": IMAGE + 2}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, **ids)
    return transformers.Gemma3ForConditionalGeneration(config)


def gemma3_processor():
    names = {"boi_token": "[IMG]", "image_token": "[IMG_BREAK]", "eoi_token": "[IMG_END]"}
    tokenizer = make_tokenizer(extra_special_tokens=names)
    pictures = transformers.Gemma3ImageProcessor(size={"height": 28, "width": 28})
    return transformers.Gemma3Processor(pictures, tokenizer, chat_template=TEMPLATE, image_seq_length=4)


def gemma4():
    text = TEXT | {"vocab_size_per_layer_input": VOCAB, "hidden_size_per_layer_input": 8, "sliding_window": 16}
    text |= {"layer_types": ["sliding_attention", "full_attention"] * 2}
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    vision |= {"num_key_value_heads": 2, "head_dim": 8}
    config = transformers.Gemma4Config(
        text_config=text, vision_config=vision, audio_config=None, image_token_id=IMAGE, boi_token_id=5, eoi_token_id=6
    )
    return transformers.Gemma4ForConditionalGeneration(config)


def glm4():
    return transformers.Glm4ForCausalLM(transformers.Glm4Config(**TEXT))


def glm4_moe():
    moe = {"moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2}
    return transformers.Glm4MoeForCausalLM(transformers.Glm4MoeConfig(**TEXT, **moe))


def mistral():
    return transformers.MistralForCausalLM(transformers.MistralConfig(**TEXT))


def mistral3():
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    vision |= {"model_type": "pixtral", "image_size": 64, "patch_size": 8, "head_dim": 8}
    text = TEXT | {"model_type": "mistral"}
    config = transformers.Mistral3Config(text_config=text, vision_config=vision, image_token_index=IMAGE)
    return transformers.Mistral3ForConditionalGeneration(config)


def mistral3_processor():
    pictures = transformers.PixtralImageProcessor(size={"longest_edge": 64}, patch_size={"height": 8, "width": 8})
    options = {"patch_size": 8, "spatial_merge_size": 2, "chat_template": TEMPLATE}
    return transformers.PixtralProcessor(pictures, make_tokenizer(), **options)


def muse_spark():
    first = 1024 - 128  # the first control token
    text = TEXT | {"vocab_size": 1024, "sliding_window": 8, "moe_hidden_size": 16, "moe_intermediate_size": 24}
    text |= {"num_local_experts": 4, "num_experts_per_tok": 2, "mlp_layer_types": ["dense", *["sparse"] * 3]}
    text |= {"bos_token_id": first, "eos_token_id": [first + 1, first + 8], "pad_token_id": first + 18}
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
    audio = {"hidden_sizes": [8, 12], "patch_sizes": [4, 3], "depths": [1, 2], "num_hidden_layers": 2}
    audio |= {"out_hidden_size": 32}
    config = transformers.MuseSparkConfig(
        text_config=text, vision_config=vision, audio_config=audio, out_hidden_size=64, projector_hidden_size=24,
        image_token_id=first + 92, video_token_id=first + 91, audio_token_id=first + 38,
    )  # fmt: skip
    return transformers.MuseSparkForConditionalGeneration(config)


def randomise(model):
    """Weights large enough that the best token is seldom close to the second."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.5 * parameter.shape[-1] ** -0.5)
    return model


def make_tokenizer(**extra):
    bpe = tokenizers.Tokenizer(BPE())
    bpe.pre_tokenizer = ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=VOCAB - len(PLAIN), special_tokens=SPECIAL, initial_alphabet=ByteLevel.alphabet())
    bpe.train_from_iterator([WORDS * 4, "abcdefghijklmnopqrstuvwxyz " * 4], trainer)
    bpe.add_tokens(PLAIN)
    tokens = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, chat_template=TEMPLATE, **tokens, **extra)
