/// Numbers, times and names as a language writes them.

export function figures(locale: string) {
  const number = (value: number) => value.toLocaleString(locale);
  const decimal = (value: number, digits: number) =>
    value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return {
    number,
    decimal,
    plural: (count: number, one: string, more: string) => `${number(count)} ${count === 1 ? one : more}`,
    duration: (seconds: number) => (seconds < 0.01 ? `< ${decimal(0.01, 2)} s` : `${decimal(seconds, seconds < 1 ? 2 : seconds < 10 ? 1 : 0)} s`),
    percent: (share: number) => `${number(Math.round(share * 100))} %`,
    date: (seconds: number) => new Date(seconds * 1000).toLocaleDateString(locale, { timeZone: "UTC" }),
    bytes: (count: number) => {
      const unit = count < 1000 ? 0 : count < 1e6 ? 1 : 2;
      return `${decimal(count / 1000 ** unit, unit && count / 1000 ** unit < 10 ? 1 : 0)} ${["B", "kB", "MB"][unit]}`;
    },
  };
}

export function hostOf(href: string): string {
  try {
    return new URL(href).host || href.slice(0, 40);
  } catch {
    return href.slice(0, 40);
  }
}
