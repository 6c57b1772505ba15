/// Requests to the server, with the key where one is needed. Nothing is asked of any other place.

const KEY = "firesteel.key";

export class ApiFailure extends Error {
  constructor(
    /// The HTTP status; 0 where the server could not be reached.
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    /// Seconds after which it makes sense to try again.
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

export function key(): string {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
}

/// Keeps the key for this tab, or, to be remembered, for this browser; an empty one is forgotten.
export function setKey(value: string, remember: boolean): void {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
  if (value) (remember ? localStorage : sessionStorage).setItem(KEY, value);
}

interface Options {
  method?: string;
  body?: unknown;
  form?: FormData;
  signal?: AbortSignal;
}

/// The answer of the server. Throws ApiFailure for everything but success.
export async function request(path: string, { method, body, form, signal }: Options = {}): Promise<Response> {
  const headers: Record<string, string> = {};
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const init: RequestInit = { method: method ?? (body === undefined && !form ? "GET" : "POST"), headers, cache: "no-store" };
  if (form) init.body = form;
  else if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiFailure(0, "");
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export async function ask<T>(path: string, options: Options = {}): Promise<T> {
  return (await (await request(path, options)).json()) as T;
}

async function failureOf(response: Response): Promise<ApiFailure> {
  const seconds = Number(response.headers.get("retry-after"));
  const retryAfter = seconds > 0 ? seconds : null;
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error: { message: string; code: string | null } };
    return new ApiFailure(response.status, error.message, error.code, retryAfter);
  } catch {
    return new ApiFailure(response.status, text.slice(0, 200), null, retryAfter);
  }
}
