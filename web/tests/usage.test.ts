import { expect, test } from "vitest";

import { byDay, roundUp, type Used } from "../src/lib/usage";

const used = (at: number, more: Partial<Used> = {}): Used => ({
  name: "k", owner: "o", at, model: "m", mode: "thinking", requests: 1, prompt_tokens: 10, completion_tokens: 2, ...more,
});

test("days stand in order, empty ones among them, and hold all keys and modes", () => {
  const now = Date.UTC(2026, 10, 21, 23) / 1000;
  const rows = [used(Date.UTC(2026, 10, 21) / 1000), used(Date.UTC(2026, 10, 21) / 1000, { mode: "instant" }), used(Date.UTC(2026, 10, 19) / 1000), used(0)];
  expect(byDay(rows, 3, now)).toEqual([
    { date: "2026-11-19", requests: 1, read: 10, written: 2 },
    { date: "2026-11-20", requests: 0, read: 0, written: 0 },
    { date: "2026-11-21", requests: 2, read: 20, written: 4 },
  ]);
});

test("a scale ends at a round number", () => {
  expect([0, 1, 99, 100, 1234, 9001].map(roundUp)).toEqual([1, 1, 100, 100, 2000, 10000]);
});
