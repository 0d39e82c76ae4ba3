// Sizes, times and numbers as people of this computer's language write them.

import { filesize } from "filesize";

export const GB = 1_000_000_000;
export const MB = 1_000_000;
/** Stroops in one XLM. */
export const XLM = 10_000_000;

export function bytes(value: number): string {
  return filesize(value, { standard: "si", round: value < 10 * GB ? 1 : 0 }) as string;
}

export function speed(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

export function count(value: number): string {
  return new Intl.NumberFormat(undefined, value >= 1_000_000 ? { notation: "compact", compactDisplay: "long" } : {}).format(value);
}

export function percent(share: number): string {
  return new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share);
}

/** A share to a tenth of a percent, never rounded up: what is under a limit must not look as if it were not. */
export function tenths(share: number): string {
  return new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 }).format(Math.floor(share * 1000 + 1e-6) / 1000);
}

export function decimal(value: number): string {
  return new Intl.NumberFormat(undefined, { maximumFractionDigits: 7 }).format(value);
}

/** An amount of money, from stroops. */
export function lumens(stroops: number): string {
  return `${decimal(stroops / XLM)} XLM`;
}

/** A day, from seconds since 1970. */
export function date(seconds: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }).format(seconds * 1000);
}

/** A day and a time of day, from seconds since 1970. */
export function moment(seconds: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);
}

/** A time of day, from seconds since 1970. */
export function clock(seconds: number): string {
  return new Intl.DateTimeFormat(undefined, { timeStyle: "short" }).format(seconds * 1000);
}

/** How long ago something was, in its one most telling unit. */
export function ago(seconds: number): string {
  const [value, unit]: [number, Intl.RelativeTimeFormatUnit] =
    seconds < 90 * 60 ? [seconds / 60, "minute"] : seconds < 36 * 3600 ? [seconds / 3600, "hour"] : [seconds / 86_400, "day"];
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(-Math.round(value), unit);
}

/** A length of time in its one most telling unit. */
export function duration(seconds: number): string {
  const [value, unit] =
    seconds < 90 ? [seconds, "second"] : seconds < 90 * 60 ? [seconds / 60, "minute"] : seconds < 36 * 3600 ? [seconds / 3600, "hour"] : [seconds / 86_400, "day"];
  return new Intl.NumberFormat(undefined, { style: "unit", unit: unit as string, unitDisplay: "long" }).format(Math.max(1, Math.round(value as number)));
}

/** The beginning of a long identifier. */
export function short(id: string): string {
  return `${id.slice(0, 8)}…`;
}

/** The last part of a path or of a stored name. */
export function basename(path: string): string {
  return path.replace(/[/\\]+$/, "").split(/[/\\]/).pop() ?? path;
}

/** A name as it may be shown: characters that turn the direction of writing or break the line are spelled out. */
export function shown(name: string): string {
  const code = (symbol: string) => `\\u{${symbol.codePointAt(0)?.toString(16)}}`;
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, code);
}
