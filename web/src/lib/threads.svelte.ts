/// The list of conversations.

import { strings } from "../strings";
import { ask, request } from "./api";
import { session } from "./session.svelte";
import type { Settings, ThreadHead } from "./wire";

interface Page {
  data: ThreadHead[];
  has_more: boolean;
}

const PAGE = 50;
const path = (id: string) => `/v1/threads/${encodeURIComponent(id)}`;

class Threads {
  list = $state.raw<ThreadHead[]>([]);
  more = $state(false);
  query = $state("");
  private channel = new BroadcastChannel("firesteel");
  private asked = 0;

  /// Calls `changed` with the id of a thread that another tab changed.
  listen(changed: (id: string) => void): void {
    this.channel.onmessage = ({ data }) => {
      void this.load();
      changed(data as string);
    };
  }

  /// Tells other tabs, and shows the list as it is now.
  async changed(id: string): Promise<void> {
    this.channel.postMessage(id);
    await this.load();
  }

  async load(): Promise<void> {
    const number = ++this.asked;
    await session.tried(async () => {
      const page = await this.page("");
      if (number !== this.asked) return; // a later question was answered first
      this.list = page.data;
      this.more = page.has_more;
    });
  }

  async loadMore(): Promise<void> {
    await session.tried(async () => {
      const page = await this.page(this.list.at(-1)?.id ?? "");
      const known = new Set(this.list.map((each) => each.id));
      this.list = [...this.list, ...page.data.filter((each) => !known.has(each.id))];
      this.more = page.has_more;
    });
  }

  private page(after: string): Promise<Page> {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (this.query.trim()) query.set("query", this.query.trim());
    if (after) query.set("after", after);
    return ask<Page>(`/v1/threads?${query}`);
  }

  async create(settings: Settings): Promise<ThreadHead> {
    return ask<ThreadHead>("/v1/threads", { body: { settings } });
  }

  async change(id: string, body: { title?: string; pinned?: boolean; leaf?: string; settings?: Settings }): Promise<void> {
    await session.tried(async () => {
      await request(path(id), { body });
      await this.changed(id);
    });
  }

  async remove(thread: ThreadHead): Promise<boolean> {
    return session.tried(async () => {
      await request(path(thread.id), { method: "DELETE" });
      await this.changed(thread.id);
      session.say({ text: strings.deleted(thread.title), action: strings.undo, act: () => void this.restore(thread.id) });
    });
  }

  private async restore(id: string): Promise<void> {
    session.closeToast();
    await session.tried(async () => {
      await request(`${path(id)}/restore`, { method: "POST" });
      await this.changed(id);
    });
  }

  /// Saves a thread as a file.
  async export(thread: ThreadHead, format: string, suffix: string): Promise<void> {
    await session.tried(async () => {
      const blob = await (await request(`${path(thread.id)}/export?format=${format}`)).blob();
      save(blob, `${thread.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "thread"}.${suffix}`);
    });
  }

  /// The id of the thread that a file became.
  async import(file: File): Promise<string | null> {
    let id: string | null = null;
    await session.tried(async () => {
      let body: unknown;
      try {
        body = JSON.parse(await file.text());
      } catch {
        session.say({ text: strings.notOurs });
        return;
      }
      id = (await ask<ThreadHead>("/v1/threads/import", { body })).id;
      await this.changed(id);
    });
    return id;
  }
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const threads = new Threads();
