import asyncio
import math
from statistics import fmean

import openai
import pytest
from PIL import Image

from firesteel.format import Tokenizer, image_span
from firesteel.server.responses.blobs import data_url
from firesteel.tasks import make
from firesteel.tasks.base import HELD_OUT
from tests.agent.scripted import Scripted
from tests.server.plain import Plain
from tests.server.serving import kindling, live, serving

PATH = "/v1/decisions"
HEADER = len(Tokenizer.default().encode(" to=user<|message|>", special=True))
RED = Image.new("RGB", (64, 32), "red")
FAMILIES = ("clock", "reading")
PREDICATE = {"type": "predicate", "instructions": "It is red."}
CHOICE = {"type": "choice", "instructions": "Which?", "choices": [{"value": "a"}, {"value": "b"}]}
SCORE = {
    "type": "score",
    "instructions": "How hot?",
    "levels": [{"label": "cold"}, {"label": "warm"}, {"label": "hot"}],
}


def ask(*questions, backend=None, input="The ball.", settings=None, **more):
    """The response, and the service."""

    async def run():
        async with serving(backend=backend or Plain(), **(settings or {})) as client:
            body = {"model": "kindling", "input": input, "questions": list(questions), **more}
            return await client.post(PATH, json=body), client.service

    return asyncio.run(run())


def picture(image):
    return {"type": "input_image", "image_url": data_url(image)}


def scored(**odds):
    """A backend for which words have these odds."""
    return Plain(scores={word: math.log(value) for word, value in odds.items()})


def prompts(service):
    backend = service.backend
    return [backend.tokenizer.decode([*backend.read(each), *each.forced]) for each in backend.requests]


def test_the_sdk_asks_the_packaged_model():
    with live(backend=kindling) as (url, _):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        made = client.decisions.create(model="kindling", input="3, 9, 4", questions=[PREDICATE, CHOICE, SCORE])
        again = client.decisions.create(model="kindling", input="3, 9, 4", questions=[PREDICATE, CHOICE, SCORE])
    predicate, choice, score = made.answers
    assert 0 < predicate.probability < 1
    assert math.isclose(sum(each.probability for each in choice.probabilities), 1)
    assert choice.choice == max(choice.probabilities, key=lambda each: each.probability).value
    assert [level.label for level in score.probabilities] == ["cold", "warm", "hot"] and 0 <= score.score <= 2
    assert made.usage.output_tokens_details.reasoning_tokens == 0 < made.usage.output_tokens
    assert again.usage.input_tokens_details.cached_tokens > 0
    for one, other in zip(choice.probabilities, again.answers[1].probabilities, strict=True):
        assert math.isclose(one.probability, other.probability, abs_tol=0.02)


def test_a_predicate_is_yes_against_no():
    response, service = ask(PREDICATE | {"name": "red"}, backend=scored(yes=0.03, no=0.01))
    [answer] = response.json()["answers"]
    assert answer == {"type": "predicate", "name": "red", "probability": pytest.approx(0.75)}
    first, second = prompts(service)
    assert first.endswith("<|start|>assistant to=user<|message|>yes<|eot|>")
    assert second == first.removesuffix("yes<|eot|>") + "no<|eot|>"
    assert "The ball." in first and "It is red." in first and "Reasoning strength: 0." in first


def test_a_choice_tells_the_likeliest_value_and_how_sure_it_is():
    sure, _ = ask(CHOICE, backend=scored(a=0.1, b=0.3))
    [answer] = sure.json()["answers"]
    assert answer["choice"] == "b" and answer["name"] is None
    pairs = [(each["value"], each["probability"]) for each in answer["probabilities"]]
    assert pairs == [("a", pytest.approx(0.25)), ("b", pytest.approx(0.75))]
    entropy = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert answer["confidence"] == pytest.approx(1 - entropy)
    even, _ = ask(CHOICE, backend=scored(a=0.1, b=0.1))
    assert even.json()["answers"][0]["confidence"] == pytest.approx(0, abs=1e-9)


def test_a_score_is_the_mean_of_its_levels():
    response, _ = ask(SCORE, backend=scored(cold=0.1, warm=0.3, hot=0.6))
    [answer] = response.json()["answers"]
    assert answer["score"] == pytest.approx(1.5)
    assert [(each["label"], each["value"]) for each in answer["probabilities"]] == [
        ("cold", 0),
        ("warm", 1),
        ("hot", 2),
    ]


def test_truth_values_and_their_names_are_two_things():
    question = CHOICE | {"choices": [{"value": True}, {"value": "true"}, {"value": False, "description": "not so"}]}
    response, service = ask(question, backend=scored(**{"true": 0.1, '"true"': 0.6, "false": 0.3}))
    [answer] = response.json()["answers"]
    assert answer["choice"] == "true" and [each["value"] for each in answer["probabilities"]] == [True, "true", False]
    assert 'Answer with one of: true, "true", false.' in prompts(service)[0] and "not so" in prompts(service)[0]


def test_answers_keep_the_order_of_many_questions():
    questions = [CHOICE | {"name": str(number)} for number in range(30)]
    response, service = ask(*questions)
    assert [answer["name"] for answer in response.json()["answers"]] == [str(number) for number in range(30)]
    assert len(service.backend.requests) == 60


def test_a_whole_conversation_can_be_judged():
    conversation = [
        {"role": "system", "content": "Be strict."},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Look."}, {"type": "input_json", "data": {"k": 1}}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": "door"}'},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "A cat."}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "shout", "input": "Hey"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "There <|eot|> is a cat."}]},
    ]
    response, service = ask(PREDICATE, input=conversation)
    assert response.status_code == 200
    prompt = prompts(service)[0]
    for said in ("Be strict.", 'Look.\n{"k": 1}', " to=look", "door", "A cat.", "Hey", "There < |eot|> is a cat."):
        assert said in prompt


@pytest.mark.parametrize(
    ("question", "more", "param"),
    [
        (PREDICATE | {"type": "riddle"}, {}, "questions.0.type"),
        ({"type": "choice", "instructions": "Which?"}, {}, "questions.0.choices"),
        (CHOICE | {"choices": [{"value": "a"}]}, {}, "questions.0.choices"),
        (CHOICE | {"choices": [{"value": "a"}] * 2}, {}, "questions.0.choices"),
        (CHOICE | {"choices": [{"value": ""}, {"value": "a"}]}, {}, "questions.0.choices"),
        (SCORE | {"levels": [{"label": str(n)} for n in range(11)]}, {}, "questions.0.levels"),
        (
            PREDICATE | {"instructions": [{"type": "input_image", "image_url": "data:,"}]},
            {},
            "questions.0.instructions.0",
        ),
        (PREDICATE, {"input": [{"content": [{"type": "input_image"}]}]}, "input.0.content.0"),
        (PREDICATE, {"input": [{"role": "developer", "content": [picture(RED)]}]}, None),
        (PREDICATE, {"input": [{"content": [picture(RED)] * 51}]}, "input.0.content.50"),
        (PREDICATE, {"input": [{"type": "file"}]}, "input.0"),
        (PREDICATE, {"input": [{"type": "function_call", "name": "f", "arguments": "{"}]}, "input.0"),
        (PREDICATE, {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, None),
        (PREDICATE, {"input": "word " * 1200}, "input"),
        (PREDICATE, {"questions": []}, "questions"),
        (PREDICATE, {"questions": [PREDICATE] * 401}, "questions"),
    ],
)
def test_wrong_values_are_told_by_name(question, more, param):
    response, service = ask(question, **more)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert not service.admission.running


def test_pictures_are_shown_where_they_stand():
    shown = {"role": "user", "content": [{"type": "input_text", "text": "Look."}, picture(RED)]}
    result = {"type": "function_call_output", "call_id": "c", "output": [picture(RED)]}
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    asked = PREDICATE | {"instructions": [picture(RED), {"type": "input_text", "text": "It is red."}]}
    response, service = ask(asked, input=[shown, call, result], backend=scored(yes=0.3, no=0.1))
    assert response.json()["answers"][0]["probability"] == pytest.approx(0.75)
    prompt = prompts(service)[0]
    assert f"Look.{image_span(RED)}<|eot|>" in prompt and f"{image_span(RED)}It is red.<|eot|>" in prompt
    assert prompt.count(image_span(RED)) == 3


def test_the_packaged_model_decides_by_what_it_sees():
    problems = [make(family, HELD_OUT + 70_000 + seed, 1) for family in FAMILIES for seed in range(4)]
    options = {family: sorted({each.answer for each in problems if each.family == family}) for family in FAMILIES}
    with live(backend=kindling) as (url, _):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

        def chance(problem, image):
            """How probable the right answer is among those of the other problems."""
            shown = [picture(image), {"type": "input_text", "text": problem.question}]
            choices = [{"value": option} for option in options[problem.family]]
            question = {"type": "choice", "instructions": shown, "choices": choices}
            [answer] = client.decisions.create(model="kindling", input="", questions=[question]).answers
            return next(each.probability for each in answer.probabilities if each.value == problem.answer)

        seen = [chance(problem, problem.image) for problem in problems]
        blank = [chance(problem, Image.new("RGB", problem.image.size, "white")) for problem in problems]
    assert fmean(seen) > fmean(blank) + 0.2


def test_a_model_elsewhere_cannot_be_asked():
    refused, _ = ask(PREDICATE, backend=Scripted())
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_tokenizer")


def test_questions_that_are_left_when_the_time_is_up_are_told():
    class Slow(Plain):
        async def _sample(self, request):
            await asyncio.sleep(0.05)
            async for delta in super()._sample(request):
                yield delta

    response, service = ask(*[PREDICATE] * 100, backend=Slow(), settings={"seconds": 0.3})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "deadline_exceeded")
    assert not service.backend.running and not service.admission.running


def test_a_decision_is_paid_for():
    async def run():
        async with serving(backend=Plain()) as client:
            body = {"model": "kindling", "input": "x", "questions": [PREDICATE, CHOICE]}
            told = (await client.post(PATH, json=body)).json()["usage"]
            # Each option and its end; the header before them is the prompt's.
            forced = sum(len(request.forced) - HEADER for request in client.service.backend.requests)
            return told, await client.service.store.usage(), forced

    told, [used], forced = asyncio.run(run())
    assert (used.prompt_tokens, used.completion_tokens) == (told["input_tokens"], told["output_tokens"])
    assert told["output_tokens"] == forced and used.mode == "instant"
    assert told["input_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 0}
