/// Where the model looked: every crop, box, point and line as a place in the picture that was given.
///
/// Pictures are numbered as the tools number them (agent/eyes.py): in the order in which a conversation shows them; what
/// a tool made says `img_3 = crop of img_1 [left, top, right, bottom]`. Coordinates are 0 to 1000 of the named picture.

import { answerOf, callsOf, type Call, type TurnView } from "./view";

interface Seen {
  pictures: string[];
  view: TurnView;
}

export interface Mark {
  /// Of this mark alone: its source and a number.
  key: string;
  /// The id of the call that made it; "answer" for one that the answer names.
  source: string;
  kind: "zoom" | "mark" | "ground" | "answer";
  shape: "box" | "point" | "line";
  /// Of the root picture: x1, y1, x2, y2, or x, y of a point.
  at: number[];
  label: string;
  /// As the model wrote it, in the coordinates of the picture that it looked at.
  given: number[];
  /// The number of the picture that it became, if it became one.
  made: number | null;
}

export interface Canvas {
  url: string;
  number: number;
  marks: Mark[];
}

type Box = [number, number, number, number];
type Place = Omit<Mark, "key">;
interface View {
  url: string;
  root: number;
  box: Box;
}

const GRID = 1000;
const MADE = /img_(\d+) = (crop|drawing) of img_(\d+)(?: \[(\d+), (\d+), (\d+), (\d+)\])?/g;

/// Every picture of a conversation by its number.
export function views(turns: readonly Seen[]): Map<number, View> {
  const found = new Map<number, View>();
  const named = new Set<number>();
  for (const { view } of turns)
    for (const call of callsOf(view)) for (const made of call.output.matchAll(MADE)) named.add(Number(made[1]));
  let next = 0;
  const unnamed = (url: string) => {
    while (named.has(next)) next++;
    found.set(next, { url, root: next, box: [0, 0, 1, 1] });
    next++;
  };
  for (const { pictures, view } of turns) {
    pictures.forEach(unnamed);
    for (const call of callsOf(view)) {
      const made = [...call.output.matchAll(MADE)];
      call.pictures.forEach((url, place) => {
        const name = made[place];
        if (!name) return unnamed(url);
        const number = Number(name[1]);
        const parent = found.get(Number(name[3])) ?? { root: number, box: [0, 0, 1, 1] as Box };
        const crop = name[2] === "crop" && name[4] !== undefined;
        const box = crop ? within(parent.box, name.slice(4, 8).map((edge) => Number(edge) / GRID)) : parent.box;
        found.set(number, { url, root: parent.root, box });
      });
    }
  }
  return found;
}

function within([left, top, right, bottom]: Box, inner: number[]): Box {
  const [width, height] = [right - left, bottom - top];
  return [left + inner[0]! * width, top + inner[1]! * height, left + inner[2]! * width, top + inner[3]! * height];
}

/// The pictures that the last of `turns` was given or looked at, with what it found on them.
export function canvases(turns: readonly Seen[]): Canvas[] {
  const turn = turns.at(-1);
  if (!turn) return [];
  const known = views(turns);
  const found = new Map<number, Mark[]>();
  const add = (number: number, mark: Place) => {
    const view = known.get(number);
    if (!view) return;
    const [left, top, right, bottom] = view.box;
    const at = mark.at.map((value, axis) =>
      Math.round(axis % 2 ? top * GRID + value * (bottom - top) : left * GRID + value * (right - left)),
    );
    const before = found.get(view.root) ?? [];
    found.set(view.root, [...before, { ...mark, at, key: `${mark.source}#${view.root}.${before.length}` }]);
  };
  const roots = [...known.entries()].filter(([number, view]) => view.root === number).map(([number]) => number);
  for (const call of callsOf(turn.view)) marksOf(call).forEach(([number, mark]) => add(number ?? Math.max(...known.keys()), mark));
  const last = roots.at(-1);
  if (last !== undefined) places(jsonIn(answerOf(turn.view)), "answer", "answer").forEach((mark) => add(last, mark));
  return roots
    .filter((number) => found.has(number))
    .map((number) => ({ url: known.get(number)!.url, number, marks: found.get(number)! }));
}

/// What a call points at: (number of the picture, mark in its coordinates).
function marksOf(call: Call): [number | null, Place][] {
  const given = call.arguments;
  if (call.name === "zoom") {
    const made = [...call.output.matchAll(MADE)][0];
    const at = made?.[4] ? made.slice(4, 8).map(Number) : numbers(given.bbox_2d);
    const number = made ? Number(made[3]) : Number(given.img ?? 0);
    if (at?.length !== 4) return [];
    const written = numbers(given.bbox_2d) ?? at;
    return [[number, { source: call.id, kind: "zoom", shape: "box", at, label: label(given), given: written, made: made ? Number(made[1]) : null }]];
  }
  if (call.name === "mark") {
    return places(parsed(given.items), call.id, "mark").map((mark) => [Number(given.img ?? 0), mark]);
  }
  if (call.name === "container.visual_grounding") {
    const told = /img_(\d+): (\[[\s\S]*\])\s*$/.exec(call.output);
    return told ? places(parsed(told[2]), call.id, "ground").map((mark) => [Number(told[1]), mark]) : [];
  }
  return [];
}

function places(value: unknown, source: string, kind: Mark["kind"]): Place[] {
  if (Array.isArray(value)) return value.flatMap((each) => places(each, source, kind));
  if (!value || typeof value !== "object") return [];
  const item = value as Record<string, unknown>;
  if (Array.isArray(item.locations)) {
    return places(item.locations, source, kind).map((mark) => ({ ...mark, label: mark.label || label(item) }));
  }
  for (const [name, shape, count] of [["bbox_2d", "box", 4], ["point_2d", "point", 2], ["line", "line", 4]] as const) {
    const at = numbers(item[name]);
    if (at?.length === count) return [{ source, kind, shape, at, label: label(item), given: at, made: null }];
  }
  return [];
}

const label = (item: Record<string, unknown>): string => String(item.label ?? item.name ?? item.text ?? "");

function numbers(value: unknown): number[] | null {
  const list = parsed(value);
  return Array.isArray(list) && list.every((each) => typeof each === "number") ? list : null;
}

function parsed(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}

/// The JSON that an answer is, or holds in a block of code.
function jsonIn(answer: string): unknown {
  const block = /```(?:json)?\n([\s\S]*?)```/.exec(answer);
  const text = (block?.[1] ?? answer).trim();
  return /^[[{]/.test(text) ? parsed(text) : null;
}

/// What is lit: keys of marks, or ids of calls with all their marks.
export type Lit = readonly string[];

export const lights = (lit: Lit, mark: Pick<Mark, "key" | "source">): boolean => lit.includes(mark.key) || lit.includes(mark.source);
