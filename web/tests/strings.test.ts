import { expect, test } from "vitest";

import { de } from "../src/strings/de";
import { en } from "../src/strings/en";

/// Every word by its path; of one that is made, how many values it takes.
function shape(value: unknown, path = ""): string[] {
  if (typeof value === "function") return [`${path}(${value.length})`];
  if (Array.isArray(value)) return value.flatMap((each, at) => shape(each, `${path}[${at}]`));
  if (value && typeof value === "object") return Object.entries(value).flatMap(([name, each]) => shape(each, `${path}.${name}`));
  return [path];
}

test("all languages have the same words", () => {
  expect(shape(de).sort()).toEqual(shape(en).sort());
  expect(shape(en).length).toBeGreaterThan(200);
});

test("keys and formats are the same in all languages", () => {
  expect(de.shortcuts.map(([keys]) => keys)).toEqual(en.shortcuts.map(([keys]) => keys));
  expect(de.exports.map(([format, suffix]) => [format, suffix])).toEqual(en.exports.map(([format, suffix]) => [format, suffix]));
});

test("numbers are written as each language does it", () => {
  expect([en.number(1234.5), de.number(1234.5)]).toEqual(["1,234.5", "1.234,5"]);
  expect([en.duration(0.004), en.duration(0.25), de.duration(3.14), en.duration(12)]).toEqual(["< 0.01 s", "0.25 s", "3,1 s", "12 s"]);
  expect([en.bytes(999), en.bytes(1500), en.bytes(32 << 20)]).toEqual(["999 B", "1.5 kB", "34 MB"]);
});
