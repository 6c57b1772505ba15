/// The events of a response, to its end: a stream that breaks off is taken up where it stopped.

import { ApiFailure, request } from "./api";
import { SseParser } from "./sse";
import type { StreamEvent } from "./wire";

const TERMINAL = ["response.completed", "response.incomplete", "response.failed"];
const WAITS = [0.25, 0.5, 1, 2, 4, 8]; // seconds between attempts; the last one goes on

export interface Watcher {
  event(event: StreamEvent): void;
  /// Told when the connection is lost, and with false when it is back.
  lost(lost: boolean): void;
}

/// Begins a response, and follows it. Throws ApiFailure where it was refused.
export async function begin(body: unknown, watcher: Watcher, signal: AbortSignal): Promise<void> {
  const stream = new Followed(watcher, signal);
  const response = await request("/v1/responses", { body, signal });
  if (!(await stream.read(response))) await stream.resume();
}

/// Follows a response that runs already, from its first event on.
export async function follow(id: string, watcher: Watcher, signal: AbortSignal): Promise<void> {
  await new Followed(watcher, signal, id).resume();
}

class Followed {
  private last = -1;

  constructor(
    private watcher: Watcher,
    private signal: AbortSignal,
    private id = "",
  ) {}

  /// Reads to the end of the stream; true if the response ended with it.
  async read(response: Response): Promise<boolean> {
    const parser = new SseParser();
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return false;
        for (const { data } of parser.feed(value)) {
          if (data === "[DONE]") continue;
          const event = JSON.parse(data) as StreamEvent;
          if (event.type === "error") return false; // of this stream, not of the response; its number is used again
          this.last = event.sequence_number;
          this.id ||= event.response?.id ?? "";
          this.watcher.event(event);
          if (TERMINAL.includes(event.type)) return true;
        }
      }
    } catch (error) {
      if (this.signal.aborted || error instanceof SyntaxError) throw error;
      return false; // the connection was lost
    }
  }

  async resume(): Promise<void> {
    if (!this.id) throw new ApiFailure(0, ""); // lost before the server had said anything
    for (let attempt = 0; ; attempt++) {
      const before = this.last;
      try {
        const path = `/v1/responses/${this.id}?stream=true&starting_after=${this.last}`;
        const response = await request(path, { signal: this.signal });
        this.watcher.lost(false);
        if (await this.read(response)) return;
      } catch (error) {
        // What the server says about itself passes; what it says about the request does not.
        if (!(error instanceof ApiFailure) || (error.status && error.status < 500 && error.status !== 429)) throw error;
      }
      if (this.last > before) attempt = 0;
      this.watcher.lost(true);
      await pause(WAITS[Math.min(attempt, WAITS.length - 1)]! * (1 + Math.random() / 4), this.signal);
    }
  }
}

/// Waits, but no longer than until the network is back.
function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    addEventListener("online", done);
    signal.addEventListener("abort", () => {
      done();
      reject(signal.reason);
    });
  });
}
