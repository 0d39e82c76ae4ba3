// What a person asks to be stored, as the node takes it. Pure.

import { basename } from "../format";
import type { FileEntry, PresetName, PutRequest } from "../ipc";

const DAY = 86_400;
/** The node takes no wish to keep a file for less. */
export const SHORTEST_KEEP_SECONDS = DAY;
export const KEEP_SECONDS = { month: 30 * DAY, months3: 91 * DAY, months6: 182 * DAY, year: 365 * DAY } as const;
export type Keep = keyof typeof KEEP_SECONDS;

export type Wish = { paths: string[]; keep: Keep; renew: boolean; replace: boolean; preset: PresetName };

/** Up to this many paths are followed one by one; beyond, one transfer takes them all. */
export const ONE_BY_ONE = 8;

export function request(wish: Wish): PutRequest {
  const { paths, renew, replace, preset } = wish;
  return { paths, name: null, keep_seconds: KEEP_SECONDS[wish.keep], renew, replace, preset, price: null };
}

/** One request per path while they are few, so that each can be paused and cancelled by itself. */
export function requests(wish: Wish): PutRequest[] {
  return wish.paths.length <= ONE_BY_ONE ? wish.paths.map((path) => request({ ...wish, paths: [path] })) : [request(wish)];
}

/** Names of what is to be stored that are taken already. */
export function taken(paths: string[], files: FileEntry[]): string[] {
  const names = new Set(files.map(({ name }) => name));
  return paths.map(basename).filter((name) => names.has(name));
}
