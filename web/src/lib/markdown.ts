/// Markdown of a model, as HTML that can do nothing: no markup of its own, no script, no style, no request.
///
/// - HTML in the text is shown as text. What is made of the rest passes DOMPurify with a short list of tags.
/// - A picture is shown only if it lies in the text itself (data:); others become links, because the address of a
///   picture can carry words out of a conversation.
/// - A text is cut into blocks, so that only the last ones are made anew while it grows.

import DOMPurify from "dompurify";
import { Marked, type Tokens, type TokensList } from "marked";

import { strings } from "../strings";
import { escape, highlight } from "./highlight";

const TAGS =
  "a b blockquote br button code del div em h1 h2 h3 h4 h5 h6 hr i img li ol p pre span strong sub sup table tbody td th thead tr ul".split(
    " ",
  );
const ATTRIBUTES = "alt align class data-display data-tex href rel src start target title type".split(" ");
const ADDRESS = /^(?:https?:|mailto:|#)/i;
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,[a-z0-9+/=]+$/i;

const math = {
  extensions: [
    {
      name: "math",
      level: "inline" as const,
      start: (source: string) => source.search(/\$|\\\(|\\\[/),
      tokenizer(source: string) {
        const found =
          /^\$\$([\s\S]+?)\$\$/.exec(source) ??
          /^\\\[([\s\S]+?)\\\]/.exec(source) ??
          /^\\\((.+?)\\\)/.exec(source) ??
          /^\$(?!\s)([^$\n]+?)(?<!\s)\$(?!\d)/.exec(source);
        if (!found) return undefined;
        return { type: "math", raw: found[0], text: found[1]!, display: /^(?:\$\$|\\\[)/.test(found[0]) };
      },
      renderer(token: Tokens.Generic) {
        const display = token.display ? ' data-display="yes"' : "";
        return `<span class="math" data-tex="${escape(token.text as string)}"${display}>${escape(token.raw)}</span>`;
      },
    },
  ],
};

const marked = new Marked(
  { gfm: true, async: false },
  {
    renderer: {
      html: ({ text }) => escape(text),
      checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
      code({ text, lang }) {
        const name = (lang ?? "").match(/^\w[\w+#-]*/)?.[0] ?? "";
        const copy = `<button type="button" class="copy">${strings.copy}</button>`;
        const head = `<div class="code-head"><span>${escape(name)}</span>${copy}</div>`;
        return `<div class="code">${head}<pre><code>${highlight(text, name)}</code></pre></div>`;
      },
      image({ href, text }) {
        if (PICTURE.test(href)) return `<img src="${href}" alt="${escape(text)}">`;
        return link(href, escape(strings.remotePicture(text, href)));
      },
      link({ href, tokens }) {
        return link(href, this.parser.parseInline(tokens));
      },
      table(token) {
        const row = (cells: Tokens.TableCell[], tag: string) =>
          `<tr>${cells
            .map((cell) => {
              const align = cell.align ? ` align="${cell.align}"` : "";
              return `<${tag}${align}>${this.parser.parseInline(cell.tokens)}</${tag}>`;
            })
            .join("")}</tr>`;
        const body = token.rows.map((cells) => row(cells, "td")).join("");
        return `<div class="table"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>`;
      },
    },
  },
  math,
);

function link(href: string, html: string): string {
  if (!ADDRESS.test(href)) return `<span>${html}</span>`;
  return `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer nofollow">${html}</a>`;
}

function clean(html: string): string {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: ADDRESS,
    // DOMPurify holds every attribute for an address that it does not know to be none.
    ADD_URI_SAFE_ATTR: ATTRIBUTES.filter((name) => name !== "href" && name !== "src"),
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

/// A text that may grow, as blocks of HTML. Only what a later word can still change is read again: the last two blocks,
/// because a list or a quotation may go on; and, once they define links, all that comes after. Earlier words that name
/// such a link become one when the text is whole.
export class Blocks {
  private source = ""; // of the blocks that stay
  private settled: string[] = [];
  private known = new Map<string, string>();

  /// The blocks of `text`; one that is `whole` is read in one piece.
  of(text: string, whole: boolean): string[] {
    const plain = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text; // as the lexer counts
    if (whole || !plain.startsWith(this.source)) {
      this.source = "";
      this.settled = [];
    }
    const tokens: TokensList = marked.lexer(plain.slice(this.source.length));
    const links = Object.keys(tokens.links).length ? JSON.stringify(tokens.links) : "";
    const shown = tokens.filter((token) => token.type !== "space" && token.type !== "def");
    const made = new Map<string, string>();
    const html = shown.map((token) => {
      const key = token.raw + links;
      const block = this.known.get(key) ?? clean(marked.parser([token]));
      made.set(key, block);
      return block;
    });
    this.known = made;
    const all = [...this.settled, ...html];
    const open = shown.at(-2);
    if (open && !links && !whole) {
      const stays = tokens.slice(0, tokens.indexOf(open));
      this.source += stays.map((token) => token.raw).join("");
      this.settled = all.slice(0, -2);
    }
    return all;
  }
}
