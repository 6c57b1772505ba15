import { expect, test } from "vitest";

import { below, newestLeaf, pathTo, siblings } from "../src/lib/tree";

const node = (id: string, previous: string | null) => ({ id, previous });
const NODES = [node("a", null), node("b", "a"), node("c", "b"), node("B", "a"), node("C", "B"), node("A", null)];
const ids = (nodes: { id: string }[]) => nodes.map((each) => each.id).join("");

test("a path goes from the root to the leaf, by default to the newest turn", () => {
  expect(ids(pathTo(NODES, "c"))).toBe("abc");
  expect(ids(pathTo(NODES, "C"))).toBe("aBC");
  expect(ids(pathTo(NODES, null))).toBe("A");
  expect(ids(pathTo(NODES, "gone"))).toBe("A");
  expect(pathTo([], null)).toEqual([]);
});

test("versions share their parent; a parent that is gone is none", () => {
  expect(ids(siblings(NODES, NODES[1]!))).toBe("bB");
  expect(ids(siblings(NODES, NODES[0]!))).toBe("aA");
  const orphans = [node("x", "gone"), node("y", null)];
  expect(ids(siblings(orphans, orphans[0]!))).toBe("xy");
});

test("a branch ends in its newest turn", () => {
  expect(newestLeaf(NODES, "a")).toBe("C");
  expect(newestLeaf(NODES, "b")).toBe("c");
});

test("what lies below a turn goes with it", () => {
  expect([...below(NODES, "B")].sort()).toEqual(["B", "C"]);
});
