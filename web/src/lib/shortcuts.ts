/// Keys and what they do. Alt goes with letters, so that no key is taken from one who writes or uses a screen reader.

const KEYS: Record<string, string> = {
  KeyN: "new",
  KeyK: "search",
  KeyB: "side",
  KeyM: "mode",
  KeyI: "write",
  KeyE: "edit",
  KeyR: "again",
  KeyC: "copy",
  KeyP: "files",
  ArrowUp: "up",
  ArrowDown: "down",
  BracketLeft: "previous",
  BracketRight: "next",
};

/// The name of what a key asks for, if it asks for anything.
export function shortcut(event: KeyboardEvent): string | null {
  if (event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return null;
  if (event.altKey) return KEYS[event.code] ?? null;
  if (event.key === "Escape") return "stop";
  const target = event.target as HTMLElement;
  const writing = target.matches("input, textarea, select");
  return event.key === "?" && !writing ? "help" : null;
}
