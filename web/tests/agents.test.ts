import { expect, test } from "vitest";

import { canonical, clustersOf, noAgents, progress } from "../src/lib/agents";
import type { StreamEvent } from "../src/lib/wire";

const played = (events: Partial<StreamEvent>[]) =>
  events.reduce<typeof noAgents>(
    (agents, event) => progress(agents, { type: "firesteel:progress", sequence_number: 0, ...event }),
    noAgents,
  );

const RUN: Partial<StreamEvent>[] = [
  { kind: "agent_started", agent: 1 },
  { kind: "agent_started", agent: 2 },
  { kind: "agent_started", agent: 3 },
  { kind: "reasoning", agent: 2, text: "so " },
  { kind: "reasoning", agent: 2, text: "Mia" },
  { kind: "content", agent: 2, text: "Mia." },
  { kind: "agent_finished", agent: 2, text: "Mia." },
  { kind: "tool_started", agent: 1, call: { id: "c", name: "zoom", arguments: {} } },
  { kind: "tool_finished", agent: 1, call: { id: "c", name: "zoom", arguments: {} } },
  { kind: "agent_finished", agent: 1, text: "mia" },
];

test("each agent has a lane with what it thought, said and called", () => {
  const { lanes } = played(RUN);
  expect(lanes.map((lane) => [lane.agent, lane.state, lane.thought, lane.text, lane.place])).toEqual([
    [1, "finished", "", "", 2],
    [2, "finished", "so Mia", "Mia.", 1],
    [3, "running", "", "", 0],
  ]);
  expect(lanes[0]!.calls).toEqual([{ id: "c", name: "zoom", pictures: [], done: true }]);
});

test("equal answers gather while others still think, and the vote replaces the guess", () => {
  const before = played(RUN);
  expect(clustersOf(before)).toEqual([{ key: "mia", answer: "Mia.", agents: [2, 1], votes: 2 }]);
  const vote = { kind: "vote", agent: 2, text: "Mia.", data: { clusters: [{ answer: "Mia.", votes: 2.5, agents: [2, 1] }] } };
  const after = played([...RUN, { kind: "agent_cancelled", agent: 3 }, vote]);
  expect(after.lanes[2]!.state).toBe("cancelled");
  expect(after.vote?.winner).toBe(2);
  expect(clustersOf(after)[0]!.votes).toBe(2.5);
});

test("an agent whose number returns gets a lane of its own", () => {
  const { lanes } = played([...RUN, { kind: "agent_started", agent: 1 }, { kind: "content", agent: 1, text: "new" }]);
  expect(lanes.map((lane) => lane.text)).toEqual(["", "Mia.", "", "new"]);
});

test("an agent without an answer has failed", () => {
  expect(played([{ kind: "agent_started", agent: 1 }, { kind: "agent_finished", agent: 1 }]).lanes[0]!.state).toBe("failed");
});

test("limits and errors of the run itself are notes", () => {
  expect(played([{ kind: "limit", agent: 0, text: "The time is up." }]).notes).toEqual(["The time is up."]);
});

test("answers that differ only in form are equal", () => {
  expect(canonical(" **Mia**. ")).toBe("mia");
  expect(canonical("1,234.0")).toBe(canonical("1234"));
  expect(canonical("Mia")).not.toBe(canonical("Eva"));
});
