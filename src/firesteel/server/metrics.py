"""What operators watch, in Prometheus' format. Where the meaning is vLLM's, so is the name, so that its boards work.

Source of the names: vLLM 0.33, `vllm/v1/metrics`. Times are seconds. What happens for every piece of a stream costs
one histogram observation; what belongs to a request is counted once, at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from firesteel.server.admission import Admission
from firesteel.server.ask import Usage

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_GAPS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
# Ours on the left: a limit of tokens ends an answer like its length, a call of the caller's tool ends it well.
_REASONS = {"limit": "length", "tool_calls": "stop", "cancelled": "abort"}


class Metrics:
    """The figures of one server; every series carries the model's name."""

    def __init__(self, model: str, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        self._model = model

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ["model_name", *labels], registry=self._registry)

        def histogram(name: str, text: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
            made = Histogram(name, text, ["model_name"], buckets=buckets, registry=self._registry)
            return made.labels(model)

        def gauge(name: str, text: str, value: Callable[[], float]) -> None:
            Gauge(name, text, ["model_name"], registry=self._registry).labels(model).set_function(value)

        gauge("vllm:num_requests_running", "Requests that generate.", lambda: admission.running)
        gauge("vllm:num_requests_waiting", "Requests that wait for a slot.", lambda: admission.waiting)
        gauge("firesteel:slots", "Sequences that can be generated at once.", lambda: admission.slots.total)
        gauge("firesteel:slots_free", "Sequences that could start now.", lambda: admission.slots.free)
        self._prompt = counter("vllm:prompt_tokens", "Tokens read.").labels(model)
        self._cached = counter("vllm:prompt_tokens_cached", "Tokens read that were in the cache.").labels(model)
        self._generated = counter("vllm:generation_tokens", "Tokens generated.").labels(model)
        self._reasoning = counter("firesteel:reasoning_tokens", "Tokens generated in thoughts.").labels(model)
        self._ended = counter("vllm:request_success", "Requests by how they ended.", "finished_reason")
        refused = counter("vllm:admission_rejections", "Requests that were sent away.", "reason")
        self._refused = refused.labels(model, "max_num_queued_reqs")
        self._answers = counter("firesteel:http_responses", "Answers by path and status.", "path", "status")
        self._first = histogram("vllm:time_to_first_token_seconds", "From the request to the first token.")
        self._gap = histogram("vllm:inter_token_latency_seconds", "Between two pieces of an answer.", _GAPS)
        self._queued = histogram("vllm:request_queue_time_seconds", "Waiting for a slot.")
        self._whole = histogram("vllm:e2e_request_latency_seconds", "From the request to its end.")
        self._asked = histogram("vllm:request_prompt_tokens", "Tokens that a request read.", _TOKENS)
        self._said = histogram("vllm:request_generation_tokens", "Tokens that a request generated.", _TOKENS)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def admitted(self, waited: float) -> None:
        self._queued.observe(waited)

    def refused(self) -> None:
        self._refused.inc()

    def first_piece(self, seconds: float) -> None:
        self._first.observe(seconds)

    def next_piece(self, seconds: float) -> None:
        self._gap.observe(seconds)

    def finished(self, reason: str, usage: Usage, seconds: float) -> None:
        """A request ended: "stop", "length", "limit", "tool_calls", "cancelled" or "error"."""
        self._ended.labels(self._model, _REASONS.get(reason, reason)).inc()
        self._whole.observe(seconds)
        self._prompt.inc(usage.prompt_tokens)
        self._cached.inc(usage.cached_tokens)
        self._generated.inc(usage.completion_tokens)
        self._reasoning.inc(usage.reasoning_tokens)
        self._asked.observe(usage.prompt_tokens)
        self._said.observe(usage.completion_tokens)

    def answered(self, path: str, status: int) -> None:
        """`path` is that of a route, not what a stranger typed, so that the number of series stays small."""
        self._answers.labels(self._model, path, str(status)).inc()
