import { expect, test } from "vitest";

import { SseParser } from "../src/lib/sse";

const STREAM = 'event: a\ndata: {"x": 1}\n\n: ping\n\ndata: one\r\ndata: two\r\n\r\nid: 7\ndata:tight\n\ndata\n\n';
const EVENTS = [
  { event: "a", data: '{"x": 1}' },
  { event: "message", data: "one\ntwo" },
  { event: "message", data: "tight" },
  { event: "message", data: "" },
];

test("a stream that is cut anywhere reads like the whole", () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const parser = new SseParser();
    const found = [];
    for (let at = 0; at < STREAM.length; at += size) found.push(...parser.feed(STREAM.slice(at, at + size)));
    expect(found).toEqual(EVENTS);
  }
});

test("an event that is not ended is not told", () => {
  expect(new SseParser().feed("data: half\n")).toEqual([]);
});
