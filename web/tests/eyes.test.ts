import { expect, test } from "vitest";

import { canvases, views } from "../src/lib/eyes";
import { viewOf } from "../src/lib/view";
import type { Item } from "../src/lib/wire";

const turn = (pictures: string[], output: Item[]) => ({
  pictures,
  view: viewOf({ id: "r", status: "completed", model: "", created_at: 0, output, usage: null, error: null, previous: null, input: [] }),
});
const call = (id: string, name: string, given: unknown, text: string, picture = ""): Item => ({
  type: "firesteel:tool_call",
  id,
  name,
  status: "completed",
  arguments: JSON.stringify(given),
  output: picture ? [{ type: "input_text", text }, { type: "input_image", image_url: picture }] : text,
});
const says = (text: string): Item => ({ type: "message", status: "completed", content: [{ type: "output_text", text }] });

const ZOOM = call("z1", "zoom", { img: 0, bbox_2d: [0, 0, 500, 500], label: "left" }, "img_2 = crop of img_0 [0, 0, 500, 500]: left", "crop");
const DEEPER = call("z2", "zoom", { img: 2, bbox_2d: [500, 500, 1000, 1000] }, "img_3 = crop of img_2 [500, 500, 1000, 1000]", "deep");

test("pictures are numbered in the order in which they are shown, and crops know their root", () => {
  const known = views([turn(["first", "second"], [ZOOM, DEEPER])]);
  expect([...known.keys()].sort()).toEqual([0, 1, 2, 3]);
  expect(known.get(3)).toEqual({ url: "deep", root: 0, box: [0.25, 0.25, 0.5, 0.5] });
});

test("every look stands on the root picture, in its coordinates", () => {
  const [canvas, ...others] = canvases([turn(["first"], [ZOOM, DEEPER])]);
  expect(others).toEqual([]);
  expect(canvas!.url).toBe("first");
  expect(canvas!.marks.map((mark) => [mark.source, mark.label, ...mark.at])).toEqual([
    ["z1", "left", 0, 0, 500, 500],
    ["z2", "", 250, 250, 500, 500],
  ]);
});

test("boxes, points and counts of grounding are found", () => {
  const told = [
    { bbox_2d: [10, 20, 30, 40], label: "key" },
    { name: "cat", count: 1, locations: [{ point_2d: [5, 6] }] },
  ];
  const ground = call("g", "container.visual_grounding", { object_names: ["key"] }, `Title\nimg_0: ${JSON.stringify(told)}`);
  const [canvas] = canvases([turn(["first"], [ground])]);
  expect(canvas!.marks.map((mark) => [mark.shape, mark.label, mark.at])).toEqual([
    ["box", "key", [10, 20, 30, 40]],
    ["point", "cat", [5, 6]],
  ]);
});

test("an answer that is a place is drawn on the last picture, also of a turn before", () => {
  const [canvas] = canvases([turn(["first"], []), turn([], [says('{"bbox_2d": [1, 2, 3, 4]}')])]);
  expect(canvas).toMatchObject({ url: "first", marks: [{ source: "answer", kind: "answer", at: [1, 2, 3, 4] }] });
  const block = says('Here:\n```json\n[{"point_2d": [7, 8], "label": "x"}]\n```');
  expect(canvases([turn(["first"], [block])])[0]!.marks[0]).toMatchObject({ shape: "point", label: "x" });
});

test("what cannot be read is left alone", () => {
  for (const text of ["{", "[1, 2, 3]", '{"bbox_2d": [1, 2]}', '{"bbox_2d": "x"}', '{"bbox_2d": [1, 2, 3, "4"]}', "plain"]) {
    expect(canvases([turn(["first"], [says(text)])])).toEqual([]);
  }
  const odd = [call("m", "mark", { img: 9, items: "no" }, ""), call("z", "zoom", {}, "Error"), call("g", "container.visual_grounding", {}, "img_0: [oops]")];
  expect(canvases([turn(["first"], odd)])).toEqual([]);
});

test("marks that the model drew are shown", () => {
  const mark = call("m", "mark", { img: 0, items: [{ line: [0, 0, 9, 9] }, { bbox_2d: [1, 1, 2, 2], label: "a" }] }, "img_1 = drawing of img_0", "drawn");
  expect(canvases([turn(["first"], [mark])])[0]!.marks.map((each) => each.shape)).toEqual(["line", "box"]);
});
