/// Pages and drawings that the model made, and their versions in a conversation.
///
/// They are shown in a frame without an origin (`sandbox="allow-scripts"`, never `allow-same-origin`), on a stage page
/// whose policy the server sends, because a frame of the app's own text would inherit the app's. The page's own policy,
/// first in its text, forbids all requests once more; where the frame may go, the app's `frame-src` says.

import { callsOf, type Call, type TurnView } from "./view";

export interface Artifact {
  /// The id of the call that made it.
  id: string;
  name: string;
  title: string;
  kind: "html" | "svg";
  content: string;
}

const TOOL = "container.create_web_artifact";
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:";

export function artifactOf(call: Call): Artifact | null {
  const { kind, title, content, filename } = call.arguments;
  if (call.name !== TOOL || typeof content !== "string" || !content || call.output.startsWith("Error")) return null;
  const form = kind === "svg" ? "svg" : "html";
  const name = String(filename || title || "artifact");
  return { id: call.id, name, title: String(title || name), kind: form, content };
}

/// All versions of an artifact in a conversation, oldest first.
export function versions(views: readonly TurnView[], artifact: Artifact): Artifact[] {
  const made = views.flatMap(callsOf).map(artifactOf);
  return made.filter((each): each is Artifact => each?.name === artifact.name && each.kind === artifact.kind);
}

/// The page of the closed frame. The policy stands before everything that the model wrote.
export function framed({ kind, content }: Artifact): string {
  const policy = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
  const look = "<meta charset=utf-8><style>:root{color-scheme:light;background:#fff}</style>";
  return policy + look + (kind === "svg" ? `<style>svg{max-width:100%;height:auto}</style>${content}` : content);
}
