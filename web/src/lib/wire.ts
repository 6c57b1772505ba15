/// What the server says: the parts of its interface that the app reads.

export type Mode = "instant" | "thinking" | "contemplating";

export interface Part {
  type: string;
  text?: string;
  image_url?: string;
}

export interface Item {
  type: string;
  id?: string;
  role?: string;
  status?: string;
  phase?: string | null;
  content?: Part[] | string;
  summary?: Part[];
  name?: string;
  arguments?: string;
  output?: string | Part[] | null;
}

export interface Ledger {
  total_tokens: number;
  critical_path_tokens: number;
  prompt_tokens: number;
  cached_tokens: number;
  seconds: number;
  agents_started: number;
  agents_cancelled: number;
  agents_spared?: number;
  rounds: number;
  agreement: number;
}

export interface Usage {
  input_tokens: number;
  input_tokens_details?: { cached_tokens?: number; image_tokens?: number };
  output_tokens: number;
  output_tokens_details?: { reasoning_tokens?: number };
  firesteel?: { ledger?: Ledger };
}

export interface Failure {
  code?: string | null;
  message: string;
}

export interface ResponseResource {
  id: string;
  status: string;
  model: string;
  created_at: number;
  completed_at?: number | null;
  output: Item[];
  usage: Usage | null;
  error: Failure | null;
  incomplete_details?: { reason: string; message?: string } | null;
}

/// A turn as a thread lists it.
export interface Turn extends ResponseResource {
  previous: string | null;
  input: Item[];
  mode?: Mode | null;
  background?: boolean;
}

export interface Settings {
  model?: string;
  mode?: Mode;
  strength?: string;
  agents?: number;
  rounds?: number;
  seconds?: number | null;
  tools?: string[];
  files?: GivenFile[];
}

export interface ThreadHead {
  id: string;
  title: string;
  pinned: boolean;
  created_at: number;
  updated_at: number;
  leaf: string | null;
  settings: Settings;
  snippet?: string;
}

export interface Thread extends ThreadHead {
  turns: Turn[];
}

export interface AppInfo {
  models: string[];
  default_model: string;
  modes: Mode[];
  strengths: string[];
  strength: string;
  tools: string[];
  /// Names of the tools whose calls this server runs again for who asks.
  replays: string[];
  sandbox: string | null;
  version: string;
  limits: Record<string, number | null>;
  context: number | null;
  keys: boolean;
}

/// One event of a stream; which fields are there follows from its type.
export interface StreamEvent {
  type: string;
  sequence_number: number;
  response?: ResponseResource;
  item?: Item;
  item_id?: string;
  output_index?: number;
  delta?: string;
  message?: string;
  error?: Failure;
  // of firesteel:progress
  kind?: string;
  agent?: number;
  round?: number;
  text?: string;
  call?: { id: string; name: string; arguments: Record<string, unknown> };
  output?: string;
  /// Pictures that an agent's tool made, as data URLs.
  pictures?: string[];
  data?: ProgressData;
}

interface ProgressData {
  clusters?: { answer: string; votes: number; agents: number[] }[];
  /// Of an agent's turn that is whole.
  completion_tokens?: number;
  /// Of a question for permission, and of the word that answers it.
  id?: string;
  seconds?: number;
  answer?: Word;
}

export type Word = "once" | "always" | "deny";

/// A file that the user gave to a thread.
interface GivenFile {
  id: string;
  name: string;
  bytes: number;
}

/// A file at the end of a turn; `turn` made it, or the user gave it (null).
export interface TurnFile {
  name: string;
  bytes: number;
  turn: string | null;
}
