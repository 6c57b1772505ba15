/// A turn as it is shown, made of the events of its response by one pure function.
///
/// - A turn that is loaded whole is the state event it ended with: the same function reads it.
/// - `now` (milliseconds) is given only while events are watched as they happen; replayed ones tell no durations.

import { type Agents, noAgents, progress } from "./agents";
import type { Failure, Item, Part, ResponseResource, StreamEvent, Turn, Usage, Word } from "./wire";

export interface Thought {
  kind: "thought";
  id: string;
  text: string;
  done: boolean;
  /// How many pieces it came in, if it was watched; most backends send a token a piece.
  count?: number;
}

export interface Words {
  kind: "words";
  id: string;
  text: string;
  done: boolean;
  commentary: boolean;
}

export interface Call {
  kind: "call";
  id: string;
  name: string;
  arguments: Record<string, unknown>;
  output: string;
  pictures: string[];
  status: "running" | "done" | "cut";
  began: number | null;
  seconds: number | null;
}

type Piece = Thought | Words | Call;

/// A tool that wants to change something outside the sandbox, and waits for a word.
export interface Question {
  id: string;
  name: string;
  arguments: Record<string, unknown>;
  /// No word within so many seconds is a no.
  seconds: number;
  answer: Word | null;
}

export interface TurnView {
  id: string;
  status: string;
  model: string;
  created: number;
  completed: number | null;
  pieces: Piece[];
  agents: Agents;
  questions: Question[];
  usage: Usage | null;
  error: Failure | null;
  /// Why it is not whole, where it is not.
  incomplete: string;
  /// The number of the last event, -1 before the first.
  sequence: number;
}

const ENDED = ["completed", "incomplete", "failed", "cancelled"];
const SPEECH = [
  "response.output_text.delta",
  "response.reasoning_summary_text.delta",
  "response.reasoning_text.delta",
  "response.reasoning.delta",
];

export const ended = (view: TurnView): boolean => ENDED.includes(view.status);

export function emptyView(id: string, model: string, created: number): TurnView {
  return {
    id,
    status: "queued",
    model,
    created,
    completed: null,
    pieces: [],
    agents: noAgents,
    questions: [],
    usage: null,
    error: null,
    incomplete: "",
    sequence: -1,
  };
}

/// The view of a turn that a thread lists.
export function viewOf(turn: Turn): TurnView {
  return withResponse(emptyView(turn.id, turn.model, turn.created_at), turn);
}

export function reduce(view: TurnView, event: StreamEvent, now: number | null = null): TurnView {
  if (event.sequence_number <= view.sequence) return view; // told twice after a reconnection
  return { ...step(view, event, now), sequence: event.sequence_number };
}

function step(view: TurnView, event: StreamEvent, now: number | null): TurnView {
  const { type } = event;
  if (event.response) return withResponse(view, event.response);
  if (type === "firesteel:progress") {
    if (event.kind === "permission" || event.kind === "permitted") return { ...view, questions: asked(view.questions, event) };
    return { ...view, agents: progress(view.agents, event) };
  }
  if (type === "response.output_item.added" || type === "response.output_item.done") {
    return event.item ? withItem(view, event.output_index ?? view.pieces.length, event.item, now) : view;
  }
  if (SPEECH.includes(type)) return withDelta(view, event.output_index ?? view.pieces.length - 1, event.delta ?? "");
  return view; // parts that begin and end tell nothing that the items do not
}

function asked(questions: Question[], { kind, call, data }: StreamEvent): Question[] {
  const id = data?.id ?? "";
  if (kind === "permitted") return questions.map((each) => (each.id === id ? { ...each, answer: data?.answer ?? "deny" } : each));
  return [...questions, { id, name: call?.name ?? "", arguments: call?.arguments ?? {}, seconds: data?.seconds ?? 0, answer: null }];
}

function withResponse(view: TurnView, response: ResponseResource): TurnView {
  const details = response.incomplete_details;
  const pieces = response.output.map((item, index) => pieceOf(item, view.pieces[index] ?? null, null));
  return {
    ...view,
    id: response.id,
    status: response.status,
    model: response.model,
    created: response.created_at,
    completed: response.completed_at ?? null,
    // The first states are told with an empty output; nothing that was said is taken back by one.
    pieces: ENDED.includes(response.status) || pieces.length > view.pieces.length ? pieces : view.pieces,
    usage: response.usage,
    error: response.error,
    incomplete: details ? (details.message ?? details.reason) : "",
  };
}

/// How long a thought is that nobody counted. Pieces are tokens only if each token came in one: tokens are never fewer
/// than words, and the thought of the agent that won comes in one piece.
export function guessed(thought: Thought): { unit: "tokens" | "words"; count: number } {
  const words = thought.text.split(/\s+/).filter(Boolean).length;
  const pieces = thought.count ?? 0;
  return pieces && pieces >= words ? { unit: "tokens", count: pieces } : { unit: "words", count: words };
}

function withItem(view: TurnView, index: number, item: Item, now: number | null): TurnView {
  const pieces = [...view.pieces];
  pieces[index] = pieceOf(item, pieces[index] ?? null, now);
  return { ...view, pieces };
}

function withDelta(view: TurnView, index: number, delta: string): TurnView {
  const piece = view.pieces[index];
  if (!piece || piece.kind === "call") return view;
  const pieces = [...view.pieces];
  const text = piece.text + delta;
  pieces[index] = piece.kind === "thought" ? { ...piece, text, count: (piece.count ?? 0) + 1 } : { ...piece, text };
  return { ...view, pieces };
}

function pieceOf(item: Item, before: Piece | null, now: number | null): Piece {
  const id = item.id ?? "";
  if (item.type === "reasoning") {
    const text = textOf(item.summary?.length ? item.summary : item.content);
    const watched = before?.kind === "thought" ? before : {};
    return { ...watched, kind: "thought", id, text, done: text !== "" || before !== null };
  }
  if (item.type === "message") {
    const done = item.status !== "in_progress";
    return { kind: "words", id, text: textOf(item.content), done, commentary: item.phase === "commentary" };
  }
  const call = before?.kind === "call" ? before : null;
  const began = call?.began ?? now;
  const over = item.status !== "in_progress";
  return {
    kind: "call",
    id,
    name: item.name ?? item.type,
    arguments: argumentsOf(item.arguments),
    output: textOf(item.output),
    pictures: picturesOf(item.output),
    status: item.status === "in_progress" ? "running" : item.status === "incomplete" ? "cut" : "done",
    began,
    seconds: call?.seconds ?? (over && began !== null && now !== null ? (now - began) / 1000 : null),
  };
}

export function textOf(content: string | Part[] | null | undefined): string {
  if (!content) return "";
  if (typeof content === "string") return content;
  return content.map((part) => part.text ?? "").filter(Boolean).join("\n");
}

export function picturesOf(content: string | Part[] | null | undefined): string[] {
  if (!content || typeof content === "string") return [];
  return content.flatMap((part) => (part.image_url ? [part.image_url] : []));
}

function argumentsOf(text: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text || "{}");
    return value && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : { value };
  } catch {
    return { text: text ?? "" };
  }
}

/// What the turn answered, without thoughts and commentary.
export function answerOf(view: TurnView): string {
  return view.pieces.flatMap((piece) => (piece.kind === "words" && !piece.commentary ? [piece.text] : [])).join("\n\n");
}

export function callsOf(view: TurnView): Call[] {
  return view.pieces.filter((piece) => piece.kind === "call");
}
