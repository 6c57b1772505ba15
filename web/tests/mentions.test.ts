import { expect, test } from "vitest";

import { lights, type Mark } from "../src/lib/eyes";
import { means, sentences } from "../src/lib/mentions";

const mark = (key: string, label: string, given: number[], made: number | null = null): Mark => ({
  key, source: key.split("#")[0]!, kind: "zoom", shape: "box", at: given, label, given, made,
});
const MARKS = [mark("a#0", "F", [100, 200, 300, 400], 2), mark("a#1", "back button", [5, 5, 9, 9]), mark("b#0", "", [1, 2, 3, 4])];
const found = (text: string) => sentences(text, MARKS).map((each) => each.marks.map(({ key }) => key));

test("sentences are whole and nothing is lost", () => {
  for (const text of ["F is 3.5 high. It is so!\n\nWell", "", "no end", "a; b. [1, 2.5]. ", "...\n.\n"])
    expect(sentences(text, []).map((each) => each.text).join("")).toBe(text);
  expect(sentences("F is 3.5 high. It is so!\nWell", []).map((each) => each.text)).toEqual(["F is 3.5 high. ", "It is so!\n", "Well"]);
});

test("a sentence names a mark by its name, its place, or the picture that it became", () => {
  expect(found("F is high. A far cry. The Back Button; offbeat. At [1, 2, 3, 4] and img_2.")).toEqual([["a#0"], [], ["a#1"], [], ["a#0", "b#0"]]);
  expect(found("if we look")).toEqual([[]]);
});

test("a call lights all its marks, a mark itself alone", () => {
  expect(MARKS.map((each) => lights(["a"], each))).toEqual([true, true, false]);
  expect(MARKS.map((each) => lights(["a#1", "b#0"], each))).toEqual([false, true, true]);
  expect(MARKS.some((each) => lights([], each))).toBe(false);
});

test("what is lit finds its sentences", () => {
  const said = sentences("F is high. Nothing. The back button.", MARKS);
  expect(said.map((each) => means(each, ["a#0"]))).toEqual([true, false, false]);
  expect(said.map((each) => means(each, ["a"]))).toEqual([true, false, true]);
  expect(said.some((each) => means(each, []))).toBe(false);
});
