/// Every word that the app shows, in the first of the browser's languages that there is.

import { de } from "./strings/de";
import { en, type Strings } from "./strings/en";

const LANGUAGES: Record<string, Strings> = { en, de };
const wanted = globalThis.navigator?.languages ?? [];

export const language = wanted.map((each) => each.slice(0, 2).toLowerCase()).find((each) => each in LANGUAGES) ?? "en";
export const strings: Strings = LANGUAGES[language]!;
