"""What operators watch, in Prometheus' format. Where the meaning is vLLM's, so is the name, so that its boards work.

Source of the names: vLLM 0.33, `vllm/v1/metrics`. Times are seconds.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from firesteel.server.admission import Admission
from firesteel.server.ask import Usage

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_GAPS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The figures of one server; every series carries the model's name."""

    def __init__(self, model: str, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        self._model = model

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ["model_name", *labels], registry=self._registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            made = Histogram(name, text, ["model_name"], buckets=buckets, registry=self._registry)
            return made.labels(model)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, ["model_name"], registry=self._registry).labels(model)

        gauge("vllm:num_requests_running", "Requests that generate.").set_function(lambda: admission.running)
        gauge("vllm:num_requests_waiting", "Requests that wait for a slot.").set_function(lambda: admission.waiting)
        gauge("firesteel:slots_free", "Sequences that could start now.").set_function(lambda: admission.slots.free)
        self._prompt = counter("vllm:prompt_tokens", "Tokens read.").labels(model)
        self._cached = counter("vllm:prompt_tokens_cached", "Tokens read that were in the cache.").labels(model)
        self._generated = counter("vllm:generation_tokens", "Tokens generated.").labels(model)
        self._reasoning = counter("firesteel:reasoning_tokens", "Tokens generated in thoughts.").labels(model)
        self._success = counter("vllm:request_success", "Requests that ended well.", "finished_reason")
        self._failed = counter("firesteel:request_failures", "Requests that did not.", "reason")
        self._refused = counter("vllm:admission_rejections", "Requests that were sent away.").labels(model)
        self._answers = counter("firesteel:http_responses", "Answers by path and status.", "path", "status")
        self._first = histogram("vllm:time_to_first_token_seconds", "From the request to the first token.")
        self._gap = histogram("vllm:inter_token_latency_seconds", "Between two pieces of an answer.", _GAPS)
        self._queued = histogram("vllm:request_queue_time_seconds", "Waiting for a slot.")
        self._whole = histogram("vllm:e2e_request_latency_seconds", "From the request to its end.")

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
        """A request ended well ("stop", "length", "tool_calls") or not ("cancelled", "error")."""
        ended = self._failed if reason in ("cancelled", "error") else self._success
        ended.labels(self._model, reason).inc()
        self._whole.observe(seconds)
        self._prompt.inc(usage.prompt_tokens)
        self._cached.inc(usage.cached_tokens)
        self._generated.inc(usage.completion_tokens)
        self._reasoning.inc(usage.reasoning_tokens)

    def answered(self, path: str, status: int) -> None:
        """`path` is that of a route, not what a stranger typed, so that the number of series stays small."""
        self._answers.labels(self._model, path, str(status)).inc()
