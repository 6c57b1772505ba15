import { expect, test } from "vitest";

import { artifactOf, framed, versions } from "../src/lib/artifacts";
import { viewOf } from "../src/lib/view";

const made = (id: string, content: string, output = "[Page](container:///data/page.html)") => ({
  type: "firesteel:tool_call",
  id,
  name: "container.create_web_artifact",
  status: "completed",
  arguments: JSON.stringify({ kind: "html", title: "Page", content }),
  output,
});
const view = viewOf({
  ...{ id: "r", status: "completed", model: "", created_at: 0, usage: null, error: null, previous: null, input: [] },
  output: [made("1", "<p>one</p>"), made("2", "<p>two</p>"), made("3", "", ""), made("4", "<p>no</p>", "Error: it holds no html.")],
});

test("pages that were made have versions; those that failed are none", () => {
  const all = view.pieces.flatMap((piece) => (piece.kind === "call" ? [artifactOf(piece)] : []));
  expect(all.map((each) => each?.content ?? null)).toEqual(["<p>one</p>", "<p>two</p>", null, null]);
  expect(versions([view], all[1]!).map((each) => each.id)).toEqual(["1", "2"]);
});

test("the policy stands before everything that the model wrote", () => {
  const page = framed({ id: "", name: "", title: "", kind: "html", content: "<script>1</script>" });
  expect(page.indexOf("Content-Security-Policy")).toBeLessThan(page.indexOf("<script>"));
  expect(page).toMatch(/^<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'none';/);
});
