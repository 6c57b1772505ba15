/// What was used, day by day. Days are those of UTC, as the server counts them.

export interface Used {
  name: string | null;
  owner: string;
  at: number;
  model: string;
  mode: string;
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
}

export interface Day {
  date: string;
  requests: number;
  read: number;
  written: number;
}

const DAY = 86_400;

/// The last `count` days up to that of `now` (seconds), also those in which nothing was used.
export function byDay(rows: readonly Used[], count: number, now: number): Day[] {
  const last = Math.floor(now / DAY);
  return Array.from({ length: count }, (_, place) => {
    const day = last - count + 1 + place;
    const mine = rows.filter((row) => Math.floor(row.at / DAY) === day);
    const sum = (of: (row: Used) => number) => mine.reduce((all, row) => all + of(row), 0);
    return {
      date: new Date(day * DAY * 1000).toISOString().slice(0, 10),
      requests: sum((row) => row.requests),
      read: sum((row) => row.prompt_tokens),
      written: sum((row) => row.completion_tokens),
    };
  });
}

/// A round number that is not below the largest, for the end of a scale.
export function roundUp(value: number): number {
  if (value <= 0) return 1;
  const step = 10 ** Math.floor(Math.log10(value));
  return Math.ceil(value / step) * step;
}
