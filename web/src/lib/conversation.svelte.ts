/// The conversation that is open: its tree of turns, what runs, what waits to be sent.

import { strings } from "../strings";
import { ask, request } from "./api";
import { LiveTurn } from "./live.svelte";
import { inlined } from "./pictures";
import { session } from "./session.svelte";
import { threads } from "./threads.svelte";
import { below, newestLeaf, pathTo, siblings } from "./tree";
import { answerOf } from "./view";
import type { Item, Settings, Thread, ThreadHead } from "./wire";

export interface Draft {
  text: string;
  pictures: string[];
}

const LAST = "firesteel.settings";
const SPOKEN = 300; // characters of an answer that a screen reader is given

class Conversation {
  head = $state.raw<ThreadHead | null>(null);
  turns = $state.raw<LiveTurn[]>([]);
  leaf = $state<string | null>(null);
  settings = $state<Settings>({});
  queue = $state.raw<Draft[]>([]);
  loading = $state(false);
  /// Counts the conversations that were opened; one that is begun by its first message stays the same.
  opened = $state(0);
  path = $derived(pathTo(this.turns, this.leaf));
  running = $derived(this.path.find((turn) => turn.running) ?? null);

  /// Opens a thread, or, without an id, an empty page. False if there is none.
  async open(id: string | null): Promise<boolean> {
    if (id !== null && id === this.head?.id) return true;
    this.turns.forEach((turn) => turn.leave());
    this.turns = [];
    this.leaf = null;
    this.head = null;
    this.queue = [];
    this.settings = this.usual();
    this.loading = id !== null;
    const found = id === null || (await this.refresh(id));
    this.loading = false;
    this.opened += 1;
    return found;
  }

  private usual(): Settings {
    const kept = JSON.parse(localStorage.getItem(LAST) ?? "{}") as Settings;
    const info = session.info;
    const tools = (kept.tools ?? []).filter((name) => info?.tools.includes(name));
    const model = kept.model && info?.models.includes(kept.model) ? kept.model : info?.default_model;
    return { mode: "thinking", strength: info?.strength ?? "high", agents: 8, rounds: 0, seconds: null, ...kept, tools, model };
  }

  /// Shows the thread as the server has it now. Turns that are followed here stay as they are.
  async refresh(id: string): Promise<boolean> {
    return session.tried(async () => {
      const thread = await ask<Thread>(`/v1/threads/${encodeURIComponent(id)}`);
      const tip = this.leaf;
      const known = new Map(this.turns.map((turn) => [turn.id, turn]));
      const { turns, ...head } = thread;
      this.turns = [
        ...turns.map((turn) => known.get(turn.id) ?? LiveTurn.of(turn)),
        ...this.turns.filter((turn) => turn.id.startsWith("pending-")),
      ];
      if (!this.head) this.settings = { ...this.usual(), ...head.settings };
      this.head = head;
      const there = this.turns.some((turn) => turn.id === tip);
      this.leaf = tip && there ? newestLeaf(this.turns, tip) : head.leaf;
      for (const turn of this.turns) if (turn.running && !turn.following) void this.followed(turn);
    });
  }

  private async followed(turn: LiveTurn): Promise<void> {
    await turn.follow();
    this.ended(turn);
  }

  /// Sends a message at the end of what is shown; while an answer is being made, it waits.
  async send(draft: Draft): Promise<void> {
    if (this.running) {
      this.queue = [...this.queue, draft];
      return;
    }
    await this.put(itemsOf(draft), this.path.at(-1)?.id ?? null);
  }

  unqueue(place: number): Draft {
    const draft = this.queue[place]!;
    this.queue = this.queue.toSpliced(place, 1);
    return draft;
  }

  /// Another version of a question, beside the first.
  async edit(turn: LiveTurn, text: string): Promise<void> {
    const input = await inlinedItems(turn.input);
    const pictures = input.flatMap((item) => (Array.isArray(item.content) ? item.content : [])).filter((part) => part.image_url);
    await this.put(itemsOf({ text, pictures: pictures.map((part) => part.image_url!) }), turn.previous);
  }

  /// Another answer to the same question.
  async regenerate(turn: LiveTurn): Promise<void> {
    await this.put(await inlinedItems(turn.input), turn.previous);
  }

  /// Asks once more what was refused.
  async retry(turn: LiveTurn): Promise<void> {
    this.drop(turn);
    await this.put(turn.input, turn.previous);
  }

  drop(turn: LiveTurn): void {
    this.turns = this.turns.filter((each) => each !== turn);
    this.leaf = turn.previous;
  }

  private async put(input: Item[], previous: string | null): Promise<void> {
    const settings = $state.snapshot(this.settings) as Settings;
    localStorage.setItem(LAST, JSON.stringify(settings));
    const sent = await session.tried(async () => {
      if (!this.head) {
        this.head = await threads.create(settings);
        history.replaceState(null, "", `#/t/${this.head.id}`);
      } else if (JSON.stringify(settings) !== JSON.stringify(this.head.settings)) {
        this.head = { ...this.head, settings };
        await request(`/v1/threads/${this.head.id}`, { body: { settings } });
      }
    });
    if (!sent || !this.head) return;
    const thread = this.head.id;
    const turn = new LiveTurn(previous, input);
    this.turns = [...this.turns, turn];
    this.leaf = turn.id;
    session.announcement = strings.announceWorking;
    await turn.ask(bodyOf(input, previous, thread, settings), (id) => {
      if (this.turns.includes(turn)) this.leaf = id;
      void threads.changed(thread);
    });
    if (turn.failure) session.tell(turn.failure);
    this.ended(turn);
  }

  private ended(turn: LiveTurn): void {
    if (turn.running || !this.turns.includes(turn)) return; // left behind
    session.announcement = strings.announceDone(turn.view.status, answerOf(turn.view).slice(0, SPOKEN));
    if (this.head) void threads.changed(this.head.id);
    const next = this.queue[0];
    if (next && !turn.failure && this.path.includes(turn)) {
      this.queue = this.queue.slice(1);
      void this.send(next);
    }
  }

  async stop(): Promise<void> {
    const turn = this.running;
    if (!turn) return;
    if (turn.id.startsWith("pending-")) {
      turn.leave();
      this.drop(turn);
      return;
    }
    await session.tried(async () => {
      await request(`/v1/responses/${turn.id}/cancel`, { method: "POST" });
    });
  }

  versionsOf(turn: LiveTurn): LiveTurn[] {
    return siblings(this.turns, turn);
  }

  /// Shows the branch that goes through a turn.
  choose(turn: LiveTurn): void {
    this.leaf = newestLeaf(this.turns, turn.id);
    if (this.head) void threads.change(this.head.id, { leaf: this.leaf });
  }

  async remove(turn: LiveTurn): Promise<void> {
    const thread = this.head?.id;
    if (!thread) return;
    await session.tried(async () => {
      await request(`/v1/threads/${thread}/turns/${turn.id}`, { method: "DELETE" });
      const gone = below(this.turns, turn.id);
      this.turns = this.turns.filter((each) => !gone.has(each.id));
      if (this.leaf && gone.has(this.leaf)) this.leaf = turn.previous;
      await threads.changed(thread);
    });
  }
}

function itemsOf({ text, pictures }: Draft): Item[] {
  const shown = pictures.map((image_url) => ({ type: "input_image", image_url }));
  return [{ type: "message", role: "user", content: [...shown, ...(text ? [{ type: "input_text", text }] : [])] }];
}

/// Items as they can be sent again: the server's own addresses of pictures are no input.
async function inlinedItems(items: Item[]): Promise<Item[]> {
  return Promise.all(
    items.map(async ({ type, role, content }) => ({
      type,
      role: role ?? "user",
      content: Array.isArray(content)
        ? await Promise.all(
            content.map(async (part) =>
              part.image_url ? { type: part.type, image_url: await inlined(part.image_url) } : part,
            ),
          )
        : (content ?? ""),
    })),
  );
}

function bodyOf(input: Item[], previous: string | null, thread: string, settings: Settings): unknown {
  const { model, mode, strength, agents, rounds, seconds, tools } = settings;
  return {
    model,
    input,
    previous_response_id: previous,
    background: true,
    stream: true,
    store: true,
    reasoning: mode === "instant" ? undefined : { effort: strength, summary: "auto" },
    firesteel: { thread, mode, tools, ...(mode === "contemplating" ? { agents, rounds, seconds: seconds ?? undefined } : {}) },
  };
}

export const conversation = new Conversation();
