/// One turn on the page: what was asked, and the view of what came of it.

import { ApiFailure } from "./api";
import { begin, follow, type Watcher } from "./follow";
import { emptyView, ended, picturesOf, reduce, textOf, viewOf, type TurnView } from "./view";
import type { Item, StreamEvent, Turn } from "./wire";

let made = 0;

export class LiveTurn {
  /// Of this page alone, and the same before and after the server has named the turn.
  readonly key = ++made;
  readonly question: string;
  readonly pictures: string[];
  id = $state("");
  view = $state.raw<TurnView>(emptyView("", "", 0));
  lost = $state(false);
  failure = $state.raw<ApiFailure | null>(null);
  following = false;
  private waiting: [StreamEvent, number | null][] = [];
  private stopper = new AbortController();

  constructor(
    readonly previous: string | null,
    readonly input: Item[],
    /// Whether the server keeps the events of it.
    readonly logged = true,
  ) {
    this.id = `pending-${this.key}`;
    this.question = input.map((item) => textOf(item.content)).join("\n\n");
    this.pictures = input.flatMap((item) => picturesOf(item.content));
  }

  static of(turn: Turn): LiveTurn {
    const live = new LiveTurn(turn.previous, turn.input, turn.background !== false);
    live.id = turn.id;
    const view = viewOf(turn);
    // One that runs is made from its log, from the first event on.
    live.view = ended(view) ? view : emptyView(turn.id, turn.model, turn.created_at);
    return live;
  }

  /// The server has not named it yet.
  get pending(): boolean {
    return this.id.startsWith("pending-");
  }

  get running(): boolean {
    return !this.failure && !ended(this.view);
  }

  /// Asks what `body` gives; `named` is called with the id that the server gives. Never throws: a refusal, of either, is
  /// the turn's `failure`.
  async ask(body: () => Promise<unknown>, named: (id: string) => void): Promise<void> {
    this.failure = null;
    this.stopper = new AbortController();
    this.view = emptyView(this.id, "", Date.now() / 1000);
    await this.watch(async (watcher, signal) => begin(await body(), watcher, signal), true, named);
  }

  /// Reads what agents did from the log of a turn that has ended. Throws ApiFailure.
  async replay(): Promise<void> {
    let view = emptyView(this.id, this.view.model, this.view.created);
    await follow(this.id, { event: (event) => (view = reduce(view, event)), lost: () => {} }, this.stopper.signal);
    this.view = { ...this.view, agents: view.agents };
  }

  /// Goes on with a response that runs in the server.
  async follow(): Promise<void> {
    const id = this.id;
    this.view = emptyView(id, this.view.model, this.view.created);
    await this.watch((watcher, signal) => follow(id, watcher, signal), false);
  }

  /// Stops watching; the server goes on.
  leave(): void {
    this.stopper.abort();
  }

  private async watch(
    stream: (watcher: Watcher, signal: AbortSignal) => Promise<void>,
    live: boolean,
    named?: (id: string) => void,
  ): Promise<void> {
    const { signal } = this.stopper;
    this.following = true;
    const watcher: Watcher = {
      event: (event) => {
        if (named && event.response && event.response.id !== this.id) {
          this.id = event.response.id;
          named(this.id);
        }
        this.take(event, live ? performance.now() : null);
      },
      lost: (lost) => (this.lost = lost),
    };
    try {
      await stream(watcher, signal);
    } catch (error) {
      if (error instanceof ApiFailure) this.failure = error;
      else if (!signal.aborted) throw error;
    } finally {
      this.flush();
      this.following = false;
      this.lost = false;
    }
  }

  /// Events of one frame become one change of the view.
  private take(event: StreamEvent, now: number | null): void {
    this.waiting.push([event, now]);
    if (this.waiting.length > 1) return;
    if (document.hidden) setTimeout(() => this.flush(), 100);
    else requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    const waiting = this.waiting;
    this.waiting = [];
    if (waiting.length) this.view = waiting.reduce((view, [event, now]) => reduce(view, event, now), this.view);
  }
}
