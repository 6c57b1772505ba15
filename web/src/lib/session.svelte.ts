/// What the whole app shares: what the server is, whether it is there, what the user should be told.

import { strings } from "../strings";
import { ApiFailure, ask } from "./api";
import type { AppInfo, Mode } from "./wire";

interface Toast {
  text: string;
  action?: string;
  act?: () => void;
}

type Theme = "auto" | "light" | "dark";
const TOAST_SECONDS = 8;

class Session {
  info = $state.raw<AppInfo | null>(null);
  keyWanted = $state(false);
  gone = $state(false);
  toast = $state.raw<Toast | null>(null);
  /// What a screen reader should say next.
  announcement = $state("");
  theme = $state<Theme>((localStorage.getItem("firesteel.theme") as Theme | null) ?? "auto");
  private timer = 0;

  async start(): Promise<void> {
    this.applyTheme();
    await this.tried(async () => {
      this.info = await ask<AppInfo>("/v1/app");
    });
  }

  /// Does something with the server; what goes wrong is told to the user. False if it went wrong.
  async tried(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.gone = false;
      return true;
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      this.tell(error);
      return false;
    }
  }

  tell(error: ApiFailure): void {
    if (error.status === 0) this.gone = true;
    else if (error.status === 401) this.keyWanted = true;
    else this.say({ text: strings.failure(error.status, error.message, error.retryAfter) });
  }

  say(toast: Toast): void {
    clearTimeout(this.timer);
    this.toast = toast;
    this.timer = setTimeout(() => (this.toast = null), TOAST_SECONDS * 1000);
  }

  closeToast(): void {
    this.toast = null;
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    localStorage.setItem("firesteel.theme", theme);
    this.applyTheme();
  }

  private applyTheme(): void {
    if (this.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
  }

  /// The models that are a choice of their own; those whose name only adds a mode are left out.
  get models(): string[] {
    const names = this.info?.models ?? [];
    const modes: Mode[] = this.info?.modes ?? [];
    return names.filter((name) => !modes.some((mode) => name.endsWith(`-${mode}`) && names.includes(name.slice(0, -mode.length - 1))));
  }
}

export const session = new Session();
