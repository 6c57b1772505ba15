/// Sentences of a thought, and the marks on pictures that they speak of: by a name, by coordinates, by a picture's number.

import { lights, type Lit, type Mark } from "./eyes";

export interface Sentence {
  text: string;
  /// Those that it names, the surest first.
  marks: Mark[];
}

const SENTENCE = /[^.!?;\n]*(?:[.!?;](?!\s|$)[^.!?;\n]*)*(?:[.!?;]+\s*|\n+|$)/g;

export function sentences(text: string, marks: readonly Mark[]): Sentence[] {
  return (text.match(SENTENCE) ?? []).filter(Boolean).map((said) => ({ text: said, marks: named(said, marks) }));
}

/// Whether a sentence speaks of what is lit.
export const means = (said: Sentence, lit: Lit): boolean => lit.length > 0 && said.marks.some((mark) => lights(lit, mark));

function named(said: string, marks: readonly Mark[]): Mark[] {
  if (!marks.length) return [];
  const numbers = [...said.matchAll(/[[(]([\d\s,]+)[\])]/g)].map((found) => found[1]!.split(",").map(Number).join());
  const pictures = [...said.matchAll(/\bimg_?(\d+)\b/g)].map((found) => Number(found[1]));
  const sure = marks.filter((mark) => numbers.includes(mark.given.join()) || (mark.made !== null && pictures.includes(mark.made)));
  const called = marks.filter((mark) => !sure.includes(mark) && speaksOf(said, mark.label));
  return [...sure, ...called];
}

/// A name of one letter must be written as it is: there is an "a" in most sentences.
function speaksOf(said: string, label: string): boolean {
  const name = label.trim();
  if (!name) return false;
  const text = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(?<![\\p{L}\\p{N}])${text}(?![\\p{L}\\p{N}])`, name.length > 1 ? "iu" : "u").test(said);
}
