/// The conversation that is open: its tree of turns, what runs, what waits to be sent.

import { strings } from "../strings";
import { ask, request } from "./api";
import { change, freshId, kept, take } from "./keep";
import { LiveTurn } from "./live.svelte";
import { inlined } from "./pictures";
import { session } from "./session.svelte";
import { threads } from "./threads.svelte";
import { below, newestLeaf, pathTo, siblings } from "./tree";
import { answerOf } from "./view";
import type { Item, Settings, Thread, ThreadHead, TurnFile, Word } from "./wire";

export interface Draft {
  text: string;
  pictures: string[];
}

/// A draft that waits for the answer.
interface Waiting extends Draft {
  id: string;
}

interface Queued extends Waiting {
  /// Whether it outlives a reload; then it is taken from what is kept before it is sent.
  kept: Promise<boolean>;
}

const LAST = "firesteel.settings";
const SPOKEN = 300; // characters of an answer that a screen reader is given
const READERS = ["python", "files"]; // tools that can read a file, the best first
const queueOf = (thread: string) => `queue/${thread}`;

class Conversation {
  head = $state.raw<ThreadHead | null>(null);
  turns = $state.raw<LiveTurn[]>([]);
  leaf = $state<string | null>(null);
  settings = $state<Settings>({});
  queue = $state.raw<Queued[]>([]);
  loading = $state(false);
  /// Counts the conversations that were opened; one that is begun by its first message stays the same. What awaits
  /// something compares it afterwards: the user may have gone elsewhere.
  opened = $state(0);
  path = $derived(pathTo(this.turns, this.leaf));
  running = $derived(this.path.find((turn) => turn.running) ?? null);
  /// A message that waited is being taken, and has no turn yet.
  private taking = false;
  /// Names of files that the model was not told of yet.
  private given: string[] = [];
  /// How often the server was asked for the thread, and which of these questions the turns here are as new as.
  private asked = 0;
  private shown = 0;

  /// Opens a thread, or, without an id, an empty page. False if there is none.
  async open(id: string | null): Promise<boolean> {
    if (id !== null && id === this.head?.id) return true;
    const opened = ++this.opened;
    for (const turn of this.turns) if (!turn.pending) turn.leave(); // what is still being asked is asked to the end
    this.turns = [];
    this.leaf = null;
    this.head = null;
    this.queue = [];
    this.given = [];
    this.taking = false;
    this.settings = this.usual();
    this.loading = id !== null;
    const found = id === null || (await this.refresh(id));
    if (opened !== this.opened) return true;
    this.loading = false;
    if (id !== null && found) void this.waited(id);
    return found;
  }

  /// Takes up what was waiting before a reload.
  private async waited(id: string): Promise<void> {
    const opened = this.opened;
    const queue = await kept<Waiting[]>(queueOf(id));
    if (opened !== this.opened || !queue) return;
    this.queue = [...queue.map((each) => ({ ...each, kept: Promise.resolve(true) })), ...this.queue];
    await this.next();
  }

  private usual(): Settings {
    const kept = JSON.parse(localStorage.getItem(LAST) ?? "{}") as Settings;
    const info = session.info;
    const tools = (kept.tools ?? []).filter((name) => info?.tools.includes(name));
    const model = kept.model && info?.models.includes(kept.model) ? kept.model : info?.default_model;
    return { mode: "thinking", strength: info?.strength ?? "high", agents: 8, rounds: 0, seconds: null, ...kept, tools, model };
  }

  /// Shows the thread as the server has it now. Turns that are followed here stay as they are; an answer that comes
  /// late neither undoes a newer one nor takes away a turn that was begun since it was asked for.
  async refresh(id: string): Promise<boolean> {
    const opened = this.opened;
    const number = ++this.asked;
    const before = new Set(this.turns.filter((turn) => !turn.pending).map((turn) => turn.id));
    return session.tried(async () => {
      const thread = await ask<Thread>(`/v1/threads/${encodeURIComponent(id)}`);
      if (opened !== this.opened || number < this.shown) return;
      this.shown = number;
      const tip = this.leaf;
      const known = new Map(this.turns.map((turn) => [turn.id, turn]));
      const { turns, ...head } = thread;
      const listed = new Set(turns.map((turn) => turn.id));
      this.turns = [
        ...turns.map((turn) => known.get(turn.id) ?? LiveTurn.of(turn)),
        ...this.turns.filter((turn) => !listed.has(turn.id) && !before.has(turn.id)),
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
    if (this.running || this.taking) {
      const waiting = { ...draft, id: freshId() };
      this.queue = [...this.queue, { ...waiting, kept: this.keepWaiting(waiting) }];
      return;
    }
    // One that was refused is no turn of the server's.
    await this.put(itemsOf(draft, this.given.splice(0)), this.path.findLast((turn) => !turn.pending)?.id ?? null);
  }

  /// Keeps a message that waits, last or first in its thread's queue. There may be no thread yet.
  private async keepWaiting({ id, text, pictures }: Waiting, thread = this.head?.id, first = false): Promise<boolean> {
    if (!thread) return false;
    const kept = { id, text, pictures };
    return change<Waiting[]>(queueOf(thread), (list = []) => (first ? [kept, ...list] : [...list, kept]));
  }

  unqueue(place: number): Draft {
    const draft = this.queue[place]!;
    this.queue = this.queue.toSpliced(place, 1);
    if (this.head) void take(queueOf(this.head.id), draft.id);
    return draft;
  }

  /// Sends what waits the longest, unless a copy of this tab has done so.
  private async next(): Promise<void> {
    const [first, ...rest] = this.queue;
    const thread = this.head?.id;
    if (!first || !thread || this.running || this.taking) return;
    const opened = this.opened;
    this.queue = rest;
    this.taking = true;
    const ours = !(await first.kept) || (await take(queueOf(thread), first.id));
    if (opened === this.opened) {
      this.taking = false;
      if (ours) await this.send(first);
    } else if (ours) await this.keepWaiting(first, thread, true);
  }

  /// Puts a file into the working folder of the tools, from the next message on.
  async give(file: File): Promise<void> {
    const info = session.info;
    const reader = READERS.find((name) => info?.tools.includes(name));
    const most = info?.limits.file_bytes ?? Infinity;
    if (!reader) return session.say({ text: strings.noReader });
    if (file.size > most) return session.say({ text: strings.fileTooLarge(file.name, most) });
    const form = new FormData();
    form.set("purpose", "user_data");
    form.set("file", file);
    const opened = this.opened;
    await session.tried(async () => {
      const { id, filename, bytes } = await ask<{ id: string; filename: string; bytes: number }>("/v1/files", { form });
      if (opened !== this.opened) return;
      const { files = [], tools = [] } = this.settings;
      this.settings.files = [...files.filter((each) => each.name !== filename), { id, name: filename, bytes }];
      if (!READERS.some((name) => tools.includes(name))) this.settings.tools = [...tools, reader];
      this.given = [...this.given.filter((name) => name !== filename), filename];
      session.say({ text: strings.fileGiven(filename) });
      await this.keepSettings();
    });
  }

  /// Takes a file back that was given; the turns that have it keep it.
  async takeBack(id: string): Promise<void> {
    const { files = [] } = this.settings;
    this.given = this.given.filter((name) => name !== files.find((each) => each.id === id)?.name);
    this.settings.files = files.filter((each) => each.id !== id);
    await session.tried(() => this.keepSettings());
  }

  /// The files at the end of the last turn that has ended.
  async files(): Promise<{ turn: string; files: TurnFile[] } | null> {
    const turn = this.path.findLast((each) => !each.running && !each.failure)?.id;
    if (!turn || !this.head) return null;
    return { turn, files: (await ask<{ data: TurnFile[] }>(`/v1/threads/${this.head.id}/turns/${turn}/files`)).data };
  }

  /// Answers a tool that waits for permission. False if it did not arrive.
  async permit(question: string, answer: Word): Promise<boolean> {
    const path = `/v1/threads/${this.head?.id}/permissions/${question}`;
    return session.tried(async () => void (await request(path, { body: { answer } })));
  }

  /// Another version of a question, beside the first.
  async edit(turn: LiveTurn, text: string): Promise<void> {
    const input = await inlinedItems(turn.input);
    if (!this.turns.includes(turn)) return;
    const pictures = input.flatMap((item) => (Array.isArray(item.content) ? item.content : [])).filter((part) => part.image_url);
    await this.put(itemsOf({ text, pictures: pictures.map((part) => part.image_url!) }, []), turn.previous);
  }

  /// Another answer to the same question.
  async regenerate(turn: LiveTurn): Promise<void> {
    const input = await inlinedItems(turn.input);
    if (this.turns.includes(turn)) await this.put(input, turn.previous);
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
    localStorage.setItem(LAST, JSON.stringify({ ...settings, files: undefined }));
    const turn = new LiveTurn(previous, input);
    this.turns = [...this.turns, turn];
    this.leaf = turn.id;
    session.announcement = strings.announceWorking;
    let thread = "";
    const body = async () => {
      thread = await this.threadOf(settings);
      return bodyOf(input, previous, thread, settings);
    };
    await turn.ask(body, (id) => {
      if (this.turns.includes(turn)) this.leaf = id;
      else turn.leave();
      void threads.changed(thread);
    });
    if (turn.failure) session.tell(turn.failure);
    this.ended(turn);
  }

  /// The thread that a turn goes into, with these settings; the first turn makes it. Throws ApiFailure.
  private async threadOf(settings: Settings): Promise<string> {
    if (this.head) {
      const { id } = this.head;
      await this.keepSettings();
      return id;
    }
    const opened = this.opened;
    const head = await threads.create(settings);
    if (opened === this.opened) {
      this.head = head;
      history.replaceState(null, "", `#/t/${head.id}`);
      this.queue = this.queue.map((each) => ({ ...each, kept: this.keepWaiting(each) }));
    }
    return head.id;
  }

  /// Keeps the settings with the thread, once there is one. Throws ApiFailure.
  private async keepSettings(): Promise<void> {
    const settings = $state.snapshot(this.settings) as Settings;
    const { head } = this;
    if (!head || JSON.stringify(settings) === JSON.stringify(head.settings)) return;
    await request(`/v1/threads/${head.id}`, { body: { settings } });
    if (this.head?.id === head.id) this.head = { ...this.head, settings };
  }

  private ended(turn: LiveTurn): void {
    if (turn.running || !this.turns.includes(turn)) return; // left behind
    session.announcement = strings.announceDone(turn.view.status, answerOf(turn.view).slice(0, SPOKEN));
    if (this.head) void threads.changed(this.head.id);
    if (!turn.failure && this.path.includes(turn)) void this.next();
  }

  async stop(): Promise<void> {
    const turn = this.running;
    if (!turn) return;
    if (turn.pending) {
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
      if (this.head?.id === thread) this.shown = ++this.asked; // an answer on its way still has it
      const gone = below(this.turns, turn.id);
      this.turns = this.turns.filter((each) => !gone.has(each.id));
      if (this.leaf && gone.has(this.leaf)) this.leaf = turn.previous;
      await threads.changed(thread);
    });
  }
}

/// `given` are names of files that the model should know of.
function itemsOf({ text, pictures }: Draft, given: string[]): Item[] {
  const shown = pictures.map((image_url) => ({ type: "input_image", image_url }));
  const told = [text, given.length ? strings.inFolder(given.join(", ")) : ""].filter(Boolean);
  return [{ type: "message", role: "user", content: [...shown, ...told.map((each) => ({ type: "input_text", text: each }))] }];
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
