"""What a Prometheus server reads."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from firesteel.server.admission import Admission
from firesteel.server.ask import Usage
from firesteel.server.metrics import Metrics
from tests.agent.scripted import Scripted, calls, says
from tests.server.serving import serving

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def read(text):
    """Samples by name, and by name and one label's value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "model_name"}
            found[(sample.name, *labels.values())] = sample.value
    return found


def after(*lines, backend=None, **body):
    """The metrics after a question was answered."""

    async def main():
        async with serving(*lines, backend=backend, slots=3) as client:
            asked = {"model": "kindling", "messages": [{"role": "user", "content": "hi"}]} | body
            await client.post("/v1/chat/completions", json=asked)
            await client.get("/no/such/page")
            answer = await client.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            return read(answer.text)

    return asyncio.run(main())


def test_an_answer_is_counted_under_the_names_of_vllm():
    found = after(says("a long answer of several words", thought="hm"))
    assert found["vllm:request_success_total", "stop"] == 1
    assert found["vllm:prompt_tokens_total",] == 10
    assert found["vllm:generation_tokens_total",] > found["firesteel:reasoning_tokens_total",] > 0
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds"):
        assert found[f"vllm:{name}_count",] == 1, name
    assert found["vllm:inter_token_latency_seconds_count",] > 0
    assert found["vllm:request_prompt_tokens_sum",] == 10
    assert found["vllm:num_requests_running",] == found["vllm:num_requests_waiting",] == 0
    assert found["firesteel:slots_free",] == found["firesteel:slots",]


def test_answers_are_counted_by_route_and_status_not_by_what_was_typed():
    found = after(says("hi"))
    assert found["firesteel:http_responses_total", "/v1/chat/completions", "200"] == 1
    assert found["firesteel:http_responses_total", "other", "404"] == 1
    assert not any("/no/such/page" in key for key in found)


def test_a_call_of_the_callers_tool_is_a_good_end():
    assert after(calls(("add", {})), tools=[TOOL])["vllm:request_success_total", "stop"] == 1


def test_ends_are_named_as_vllm_names_them():
    metrics = Metrics("m", Admission(1, 1, 1))
    for reason in ("stop", "length", "limit", "cancelled", "error", "error"):
        metrics.finished(reason, Usage(), 1.0)
    found = read(metrics.text().decode())
    ends = {key[1]: value for key, value in found.items() if key[0] == "vllm:request_success_total"}
    assert ends == {"stop": 1, "length": 2, "abort": 1, "error": 2}


def test_a_defect_is_an_error():
    class Broken(Scripted):
        async def stream(self, request):
            raise RuntimeError
            yield

    assert after(backend=Broken())["vllm:request_success_total", "error"] == 1


def test_gauges_follow_the_queue():
    async def main():
        admission = Admission(2, 1, 60)
        metrics = Metrics("m", admission)
        async with admission.place(2):
            waiting = asyncio.create_task(admission.place(1).__aenter__())
            await asyncio.sleep(0)
            found = read(metrics.text().decode())
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        return found

    found = asyncio.run(main())
    assert found["vllm:num_requests_running",] == found["vllm:num_requests_waiting",] == 1
    assert found["firesteel:slots_free",] == 0


def test_who_was_sent_away_is_counted():
    metrics = Metrics("m", Admission(1, 1, 1))
    metrics.refused()
    assert read(metrics.text().decode())["vllm:admission_rejections_total", "max_num_queued_reqs"] == 1
