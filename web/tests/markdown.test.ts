// @vitest-environment jsdom
import DOMPurify from "dompurify";
import { expect, test, vi } from "vitest";

import { escape, highlight } from "../src/lib/highlight";
import { Blocks } from "../src/lib/markdown";
import corpus from "./xss.json";

const html = (text: string) => new Blocks().of(text, true).join("");

function parsed(text: string): HTMLElement {
  const element = document.createElement("div");
  element.innerHTML = html(text);
  return element;
}

const ALLOWED = new Set(
  "a b blockquote br button code del div em h1 h2 h3 h4 h5 h6 hr i img li ol p pre span strong sub sup table tbody td th thead tr ul".split(" "),
);
const ATTRIBUTES = new Set("alt align class data-display data-tex href rel src start target title type".split(" "));

test("the corpus is large", () => expect(corpus.length).toBeGreaterThanOrEqual(60));

test.each(corpus)("nothing runs and nothing is fetched: %s", (text) => {
  for (const element of parsed(text).querySelectorAll("*")) {
    const name = element.tagName.toLowerCase();
    expect(ALLOWED).toContain(name);
    for (const { name: attribute, value } of element.attributes) {
      expect(ATTRIBUTES).toContain(attribute);
      if (attribute === "href") expect(value).toMatch(/^(https?:|mailto:|#)/i);
      if (attribute === "src") expect(value).toMatch(/^data:image\/(png|jpeg|gif|webp);base64,/);
    }
  }
});

test("a picture of the text itself is shown, another is a link that says so", () => {
  const own = "data:image/png;base64,iVBORw0KGgo=";
  expect(parsed(`![a](${own})`).querySelector("img")!.getAttribute("src")).toBe(own);
  const link = parsed("![map](https://example.org/a.png?q=secret)").querySelector("a")!;
  expect(link.textContent).toBe("map (not loaded: example.org)");
  expect(link.rel).toContain("noreferrer");
});

test("code is shown as it is, with a button to copy it", () => {
  const code = 'print("<b>") # done';
  const element = parsed("```python\n" + code + "\n```");
  expect(element.querySelector("code")!.textContent).toBe(code);
  expect(element.querySelector(".hl-comment")!.textContent).toBe("# done");
  expect(element.querySelector("button.copy")).not.toBe(null);
});

test("highlighting changes no character, in any language", () => {
  const code = "/* a */ let x = `b${1}` // <c>\n# d\n-- e\n\"unclosed\n'''f'''";
  for (const language of ["", "js", "python", "sql", "html", "unknown"]) {
    const element = document.createElement("code");
    element.innerHTML = highlight(code, language);
    expect(element.textContent).toBe(code);
  }
  expect(escape("<&>\"'")).not.toMatch(/[<>"']/);
});

test("formulas keep their source for KaTeX; prices are none", () => {
  const element = parsed("$x^2$, \\(y\\) and\n\n$$z < 1$$ and \\[w\\]; it costs $5 to $6");
  const found = [...element.querySelectorAll<HTMLElement>(".math")];
  expect(found.map((each) => [each.dataset.tex, each.dataset.display])).toEqual([
    ["x^2", undefined],
    ["y", undefined],
    ["z < 1", "yes"],
    ["w", "yes"],
  ]);
});

test("tables, lists and links read well", () => {
  const element = parsed("|a|b|\n|-|-:|\n|1|2|\n\n- [x] done\n\n[site](https://example.org)");
  expect(element.querySelector("td[align=right]")!.textContent).toBe("2");
  expect(element.querySelector("li")!.textContent).toBe("☑ done");
  expect(element.querySelector("a")!.target).toBe("_blank");
});

const LONG = [
  "# Head",
  "one *two*\ngoes on",
  "- a\n- b\n\n  deeper\n\n- c",
  "> said\nlazily",
  "```python\nprint(1)\n\nprint(2)\n```",
  "|a|b|\n|-|-|\n|1|2|",
  "1. x\n2. y",
  "$$\nz\n$$",
  "<p>no</p>",
  "last\n===",
].join("\n\n");

test.each(["\n", "\r\n"])("a text that grows letter by letter ends as it is read whole", (line) => {
  const text = LONG.replaceAll("\n", line);
  const blocks = new Blocks();
  for (let end = 1; end < text.length; end++) {
    const grown = blocks.of(text.slice(0, end), false);
    if (end % 4 === 0) expect(grown).toEqual(new Blocks().of(text.slice(0, end), true));
  }
  expect(blocks.of(text, true).join("")).toBe(html(text));
});

test("what stays is not made anew", () => {
  const blocks = new Blocks();
  const grown = (text: string) => {
    const parse = vi.spyOn(DOMPurify, "sanitize");
    blocks.of(text, false);
    const made = parse.mock.calls.length;
    parse.mockRestore();
    return made;
  };
  expect(grown("one\n\ntwo\n\nthree\n\nfour")).toBe(4);
  expect(grown("one\n\ntwo\n\nthree\n\nfour, five")).toBe(1);
});

test("a link that is defined later reaches the words before it", () => {
  const blocks = new Blocks();
  blocks.of("see [it]\n\none\n\ntwo\n\nthree", false);
  const text = "see [it]\n\none\n\ntwo\n\nthree\n\n[it]: https://example.org";
  expect(blocks.of(text, true)[0]).toContain('href="https://example.org"');
});
