/// Colours for code: comments, strings, numbers and the common keywords of most languages. Light on purpose: a grammar
/// for each language would weigh more than the rest of the app.

const HASH = ["py", "python", "sh", "bash", "shell", "zsh", "yaml", "yml", "toml", "ruby", "rb", "r", "perl", "make"];
const DASH = ["sql", "lua", "haskell", "hs"];
const PLAIN = ["", "text", "txt", "md", "markdown", "console", "output", "diff"];
const MARKUP = ["html", "xml", "svg", "vue", "svelte"];
const KEYWORDS = new Set(
  (
    "abstract and as async await begin bool boolean break case catch char class const continue def default defer del do " +
    "double elif else end enum except export extends False false finally float fn for foreach from func function go if " +
    "impl implements import in int interface is lambda let long loop match mod module move mut namespace new nil None " +
    "nonlocal not null or package pass private protected pub public raise return self select short static str string " +
    "struct super switch then this throw trait True true try type typeof undefined union unsafe use using var void " +
    "where while with yield SELECT FROM WHERE INSERT INTO UPDATE DELETE CREATE TABLE JOIN ON GROUP ORDER BY AND OR NOT"
  ).split(" "),
);
const STRING = `"(?:[^"\\\\\\n]|\\\\.)*"|'(?:[^'\\\\\\n]|\\\\.)*'|\`(?:[^\`\\\\]|\\\\.)*\``;
const WORD = "[A-Za-z_$][\\w$]*";
const NUMBER = "\\b\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?\\b";

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/// HTML of a piece of code; everything that came in is escaped.
export function highlight(code: string, language: string): string {
  const name = language.toLowerCase();
  if (PLAIN.includes(name) || code.length > 50_000) return escape(code);
  const comment = MARKUP.includes(name)
    ? "<!--[\\s\\S]*?-->"
    : HASH.includes(name)
      ? "#[^\\n]*|\"\"\"[\\s\\S]*?\"\"\"|'''[\\s\\S]*?'''"
      : DASH.includes(name)
        ? "--[^\\n]*"
        : "//[^\\n]*|/\\*[\\s\\S]*?\\*/";
  const pattern = new RegExp(`(${comment})|(${STRING})|(${NUMBER})|(${WORD})`, "g");
  let html = "";
  let at = 0;
  for (const found of code.matchAll(pattern)) {
    const kind = found[1] ? "comment" : found[2] ? "string" : found[3] ? "number" : KEYWORDS.has(found[4]!) ? "keyword" : "";
    html += escape(code.slice(at, found.index));
    html += kind ? `<span class="hl-${kind}">${escape(found[0])}</span>` : escape(found[0]);
    at = found.index + found[0].length;
  }
  return html + escape(code.slice(at));
}
