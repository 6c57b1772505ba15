import { expect, test } from "vitest";

import { answerOf, callsOf, emptyView, ended, guessed, reduce, viewOf } from "../src/lib/view";
import type { Item, ResponseResource, StreamEvent, Turn } from "../src/lib/wire";

const response = (more: Partial<ResponseResource> = {}): ResponseResource => ({
  id: "resp_1",
  status: "in_progress",
  model: "kindling",
  created_at: 100,
  output: [],
  usage: null,
  error: null,
  ...more,
});

const thought: Item = { type: "reasoning", id: "rs", summary: [{ type: "summary_text", text: "9 of 34" }] };
const call: Item = {
  type: "firesteel:tool_call",
  id: "ft",
  status: "completed",
  name: "zoom",
  arguments: '{"img": 0}',
  output: [{ type: "input_text", text: "img_1 = crop of img_0 [0, 0, 500, 500]" }, { type: "input_image", image_url: "data:x" }],
};
const answer: Item = {
  type: "message",
  id: "msg",
  status: "completed",
  role: "assistant",
  phase: "final_answer",
  content: [{ type: "output_text", text: "25" }],
};

const LOG: StreamEvent[] = (
  [
    { type: "response.created", response: response() },
    { type: "response.output_item.added", output_index: 0, item: { type: "reasoning", id: "rs", summary: [] } },
    { type: "response.reasoning_summary_text.delta", output_index: 0, delta: "9 of" },
    { type: "response.reasoning_summary_text.delta", output_index: 0, delta: " 34" },
    { type: "response.output_item.done", output_index: 0, item: thought },
    { type: "response.output_item.added", output_index: 1, item: { ...call, status: "in_progress", output: null } },
    { type: "response.output_item.done", output_index: 1, item: call },
    { type: "response.output_item.added", output_index: 2, item: { ...answer, status: "in_progress", content: [] } },
    { type: "response.output_text.delta", output_index: 2, delta: "25" },
    { type: "response.output_text.done", output_index: 2 },
    { type: "response.output_item.done", output_index: 2, item: answer },
    { type: "response.completed", response: response({ status: "completed", output: [thought, call, answer], completed_at: 103 }) },
  ] as Omit<StreamEvent, "sequence_number">[]
).map((event, sequence_number) => ({ ...event, sequence_number }));

const replay = (events: StreamEvent[], now: number | null = null) =>
  events.reduce((view, event, at) => reduce(view, event, now === null ? null : now * at), emptyView("resp_1", "", 0));

test("words grow while they come", () => {
  const view = replay(LOG.slice(0, 4));
  expect(view.pieces).toEqual([{ kind: "thought", id: "rs", text: "9 of 34", done: false, count: 2 }]);
  expect(ended(view)).toBe(false);
});

test("a log ends in the view that the loaded turn has", () => {
  const turn: Turn = { ...response({ status: "completed", output: [thought, call, answer], completed_at: 103 }), previous: null, input: [] };
  expect({ ...replay(LOG), sequence: -1 }).toMatchObject(viewOf(turn));
  expect(replay(LOG).pieces[0]).toMatchObject({ done: true, count: 2 }); // only who watched it knows
  expect(answerOf(replay(LOG))).toBe("25");
});

test("events that are told twice change nothing", () => {
  const doubled = LOG.flatMap((event, at) => [...LOG.slice(Math.max(0, at - 3), at), event]);
  expect(replay(doubled)).toEqual(replay(LOG));
});

test("a log that is taken up anywhere ends in the same view", () => {
  for (let at = 1; at <= LOG.length; at++) {
    const before = replay(LOG.slice(0, at));
    expect(LOG.slice(at).reduce((view, event) => reduce(view, event), before)).toEqual(replay(LOG));
  }
});

test("a call tells its duration only if it was watched", () => {
  expect(callsOf(replay(LOG, 1000))[0]).toMatchObject({ status: "done", seconds: 1, pictures: ["data:x"] });
  expect(callsOf(replay(LOG))[0]!.seconds).toBe(null);
  expect(callsOf(replay(LOG.slice(0, 6)))[0]).toMatchObject({ status: "running", output: "" });
});

test("arguments that are no object are shown as they are", () => {
  const broken = { type: "response.output_item.added", sequence_number: 0, output_index: 0, item: { ...call, arguments: "{oops" } };
  expect(callsOf(reduce(emptyView("r", "", 0), broken))[0]!.arguments).toEqual({ text: "{oops" });
});

test("a failure and an early end say why", () => {
  const failed = { type: "response.failed", sequence_number: 0, response: response({ status: "failed", error: { code: "x", message: "No." } }) };
  expect(reduce(emptyView("r", "", 0), failed).error?.message).toBe("No.");
  const details = { reason: "limit", message: "The time is up." };
  const cut = { type: "response.incomplete", sequence_number: 0, response: response({ status: "incomplete", incomplete_details: details }) };
  expect(reduce(emptyView("r", "", 0), cut).incomplete).toBe("The time is up.");
});

test("raw thoughts of both dialects are thoughts", () => {
  for (const type of ["response.reasoning_text.delta", "response.reasoning.delta"]) {
    const events = [LOG[1]!, { type, sequence_number: 2, output_index: 0, delta: "hm" }];
    expect(replay(events).pieces[0]).toMatchObject({ kind: "thought", text: "hm" });
  }
});

test("a thought that came in one piece is told in words, one that came token by token in tokens", () => {
  const told = (text: string, count?: number) => guessed({ kind: "thought", id: "rs", text, done: true, count });
  expect(told("Kim > Paul, so Nora.", 1)).toEqual({ unit: "words", count: 5 });
  expect(told("Kim > Paul, so Nora.", 9)).toEqual({ unit: "tokens", count: 9 });
  expect(told("Kim > Paul, so Nora.")).toEqual({ unit: "words", count: 5 });
});
