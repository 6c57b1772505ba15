/// Tool calls that run again: the same call, on the server, beside its first result.

import { ask } from "./api";
import { bytesOf } from "./pictures";
import { session } from "./session.svelte";
import { picturesOf, textOf, type Call } from "./view";
import type { Part } from "./wire";

export interface Again {
  output: string;
  pictures: string[];
  seconds: number;
  /// Whether it is what the call gave the first time, to the last byte of its pictures.
  same: boolean;
}

export const runsAgain = (name: string): boolean => session.info?.replays.includes(name) ?? false;

/// Throws ApiFailure.
export async function runAgain(thread: string, turn: string, call: Call): Promise<Again> {
  const path = `/v1/threads/${thread}/turns/${turn}/calls/${encodeURIComponent(call.id)}/replay`;
  const { output, seconds } = await ask<{ output: Part[]; seconds: number }>(path, { method: "POST" });
  const [text, pictures] = [textOf(output), picturesOf(output)];
  const [before, after] = await Promise.all([prints(call.pictures), prints(pictures)]);
  return { output: text, pictures, seconds, same: text === call.output && before.join() === after.join() };
}

/// What pictures are told apart by.
async function prints(urls: string[]): Promise<string[]> {
  return Promise.all(urls.map(async (url) => new Uint8Array(await (await bytesOf(url)).arrayBuffer()).toString()));
}
