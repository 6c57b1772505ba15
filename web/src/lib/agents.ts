/// What agents did in a turn: lanes of thought, the vote, and what was complained of.
///
/// Agents of Contemplating are numbered through all rounds; those that a tool spawned begin at 1 with every call, so a
/// start always opens a lane of its own, and news go to the latest lane of that number.

import type { StreamEvent } from "./wire";

interface LaneCall {
  id: string;
  name: string;
  done: boolean;
  pictures: string[];
}

export interface Lane {
  agent: number;
  round: number;
  thought: string;
  text: string;
  calls: LaneCall[];
  /// Generated in turns that are whole, as the server counted them.
  tokens: number;
  /// Pieces of the turn that goes on; most backends send a token a piece.
  pieces: number;
  state: "running" | "finished" | "cancelled" | "failed";
  answer: string;
  /// The place in the order in which agents ended, from 1; 0 while it runs.
  place: number;
}

interface Cluster {
  key: string;
  answer: string;
  agents: number[];
  votes: number;
}

export interface Agents {
  lanes: Lane[];
  /// The clusters as the vote counted them, null before the vote.
  vote: { winner: number; clusters: Cluster[] } | null;
  notes: string[];
}

export const noAgents: Agents = { lanes: [], vote: null, notes: [] };

export function progress(agents: Agents, event: StreamEvent): Agents {
  const { kind, agent = 0, round = 0, text = "" } = event;
  if (kind === "vote") {
    const clusters = (event.data?.clusters ?? []).map((each) => ({ ...each, key: canonical(each.answer) }));
    return { ...agents, vote: { winner: agent, clusters } };
  }
  if (kind === "agent_started") {
    const lane: Lane = { agent, round, thought: "", text: "", calls: [], tokens: 0, pieces: 0, state: "running", answer: "", place: 0 };
    return { ...agents, lanes: [...agents.lanes, lane] };
  }
  const at = agents.lanes.findLastIndex((lane) => lane.agent === agent);
  if (agent === 0 || at < 0) {
    // What a call complained of stands in its output.
    const noted = kind === "limit" || (kind === "error" && !event.call);
    return noted ? { ...agents, notes: [...agents.notes, text] } : agents;
  }
  const lanes = [...agents.lanes];
  lanes[at] = moved(lanes[at]!, event, 1 + lanes.filter((lane) => lane.place).length);
  return { ...agents, lanes };
}

function moved(lane: Lane, event: StreamEvent, place: number): Lane {
  const { text = "", call } = event;
  switch (event.kind) {
    case "reasoning":
      return { ...lane, thought: lane.thought + text, pieces: lane.pieces + 1 };
    case "commentary":
    case "content":
      return { ...lane, text: lane.text + text, pieces: lane.pieces + 1 };
    case "message":
      return { ...lane, tokens: lane.tokens + (event.data?.completion_tokens ?? 0), pieces: 0 };
    case "tool_started":
      return call ? { ...lane, calls: [...lane.calls, { id: call.id, name: call.name, done: false, pictures: [] }] } : lane;
    case "tool_finished":
      return {
        ...lane,
        calls: lane.calls.map((each) => (each.id === call?.id ? { ...each, done: true, pictures: event.pictures ?? [] } : each)),
      };
    case "agent_finished":
      return { ...lane, state: text ? "finished" : "failed", answer: text, place };
    case "agent_cancelled":
      return { ...lane, state: "cancelled" };
    case "error":
      return call ? lane : { ...lane, text: lane.text || text };
    default:
      return lane;
  }
}

/// Equal answers have equal keys: spaces, case and outer marks do not count, as in the server's vote.
export function canonical(answer: string): string {
  const text = answer.split(/\s+/).filter(Boolean).join(" ").replace(/^[ .!*"'`$]+|[ .!*"'`$]+$/g, "").toLowerCase();
  const number = /^[-+]?\d[\d,]*(\.\d+)?$/.test(text) ? Number(text.replaceAll(",", "")) : NaN;
  return Number.isNaN(number) ? text : String(number);
}

/// The answers as they stand: those of the vote, or, before it, of the agents that have finished.
export function clustersOf(agents: Agents): Cluster[] {
  if (agents.vote) return agents.vote.clusters;
  const found = new Map<string, Cluster>();
  for (const lane of agents.lanes.filter((each) => each.answer).sort((a, b) => a.place - b.place)) {
    const key = canonical(lane.answer);
    const cluster = found.get(key) ?? { key, answer: lane.answer, agents: [], votes: 0 };
    cluster.agents.push(lane.agent);
    cluster.votes += lane.round ? 1.5 : 1; // an answer in view of the others weighs more
    found.set(key, cluster);
  }
  return [...found.values()].sort((a, b) => b.votes - a.votes);
}
