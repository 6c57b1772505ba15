"""Ids to text, and stop strings."""

import pytest

from firesteel.backends.base import Delta
from firesteel.backends.sample import Sample
from firesteel.format import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(checkpoint) -> Tokenizer:
    return Tokenizer(checkpoint / "tokenizer.json")


def deltas(tokenizer: Tokenizer, text: str, stop: list[str], step: int = 1) -> list[Delta]:
    sample, found = Sample(0, tokenizer, stop), []
    ids = tokenizer.encode(text, special=True)
    for i in range(0, len(ids), step):
        delta = sample.feed(ids[i : i + step])
        found += [delta] if delta else []
        if sample.finished:
            return found
    return [*found, sample.end("length")]


def text_of(found: list[Delta]) -> str:
    return "".join(delta.text for delta in found)


@pytest.mark.parametrize("step", [1, 3])
def test_characters_of_many_tokens_come_whole(tokenizer, step):
    text = " to=user<|message|>Grüße ☕ 東京 ß𝄞<|eot|>"
    found = deltas(tokenizer, text, [], step)
    assert text_of(found) == text
    assert not any("\ufffd" in delta.text for delta in found)
    assert [id for delta in found for id in delta.token_ids] == tokenizer.encode(text, special=True)


def test_bytes_without_a_character_are_replaced_and_a_control_token_survives_them(tokenizer):
    torn = tokenizer.encode("東")[0]
    sample = Sample(0, tokenizer)
    data = tokenizer.token_bytes(torn)
    delta = sample.feed([torn, tokenizer.id("<|eom|>")])
    assert delta is not None
    assert delta.text == data.decode("utf-8", "replace") + "<|eom|>"


def test_a_plain_continuation_has_no_turns(tokenizer):
    text = "stop<|start|>assistant to=self<|message|>go stop here"
    sample = Sample(0, tokenizer, ["stop"], prompt_tokens=9, plain=True)
    ids = tokenizer.encode(text, special=True)
    forced = sample.force(ids[: ids.index(tokenizer.id("<|message|>"))])
    rest = sample.feed(ids[ids.index(tokenizer.id("<|message|>")) :])
    assert forced.text == "stop<|start|>assistant to=self"
    assert rest is not None and (rest.text, rest.finish_reason) == ("<|message|>go ", "stop")
    assert forced.prompt_tokens == rest.prompt_tokens == 9
    ended = Sample(0, tokenizer, ["red circles"], plain=True)
    last = ended.feed(tokenizer.encode("the red<|eot|>", special=True))
    assert last is not None and last.text + ended.end("stop", 5).text == "the red"


def test_stop_strings_count_only_behind_what_a_turn_is_forced_to_say(tokenizer):
    sample = Sample(0, tokenizer, ["stop"])
    forced = sample.force(tokenizer.encode(" to=user<|message|>stop", special=True))
    rest = sample.feed(tokenizer.encode(" and stop here"))
    assert forced.text == " to=user<|message|>stop" and not forced.finish_reason
    assert rest is not None and (rest.text, rest.finish_reason) == (" and ", "stop")


@pytest.mark.parametrize("step", [1, 2, 50])
def test_stop_strings_count_in_the_answer_only(tokenizer, step):
    thought = " to=self<|message|>stop here<|eom|><|start|>assistant"
    found = deltas(tokenizer, thought + " to=user<|message|>go st stop here", ["stop", "message"], step)
    assert text_of(found) == thought + " to=user<|message|>go st "
    assert (found[-1].finish_reason, found[-1].stop_string) == ("stop", "stop")
    ids = [id for delta in found for id in delta.token_ids]
    assert tokenizer.decode(ids).endswith("go st stop")


def test_no_stop_string_is_found_in_the_end_of_a_turn(tokenizer):
    text = " to=user<|message|>17<|eot|>"
    found = deltas(tokenizer, text, ["eot", "<|", "e"])
    assert text_of(found) == text and not any(delta.stop_string for delta in found)


def test_what_only_began_like_a_stop_string_is_given_out_at_the_end(tokenizer):
    text = " to=user<|message|>the quick brown"
    found = deltas(tokenizer, text, ["brown fox"])
    assert text_of(found) == text
    assert found[-1].finish_reason == "length"


def test_a_control_token_lets_go_what_was_held(tokenizer):
    text = " to=user<|message|>the quick<|eom|><|start|>assistant to=files.write<|message|>x"
    assert text_of(deltas(tokenizer, text, ["quick brown"])) == text
