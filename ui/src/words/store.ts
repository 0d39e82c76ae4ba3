// What storing takes, before anything is sent.

import type { PresetName } from "../ipc";
import { bytes, count, date, lumens, percent } from "../format";
import { plural } from "./plural";

export const store = {
  title: "Store with others",
  reading: "Working out what this takes…",
  what: (n: number, size: number) => `${plural(n, "file", "files")}, ${bytes(size)}`,
  stored: (size: number) => `${bytes(size)} on other people’s disks`,
  any: (k: number, n: number) => (n === 1 ? "One farmer" : k === 1 ? `${n} farmers, each with a copy` : `${n} farmers, any ${k} of which bring it back`),
  size: "Size",
  takes: "Takes",
  survives: "Kept by",
  risk: "Risk of loss",
  price: "Price",
  free: "Nothing: farmers take these files for free.",
  noPrices: "Nothing: keeping is free on this network.",
  total: (stroops: number) => `About ${lumens(stroops)} in all`,
  monthly: (stroops: number) => `About ${lumens(stroops)} a month`,
  locked: "Locked first",
  lockedHint: (reserves: number, back: number) => `What farmers do not earn is back by ${date(back)}; ${lumens(reserves)} of it in any case.`,
  lockedNothing: "Nothing more: what is locked already pays for it",
  unattended: "Safe unattended",
  unattendedUntil: (at: number) => `until ${date(at)}`,
  unattendedHint: "Even if this computer stays off. While Hayloft runs, it pays on by itself.",
  tooLittle: (locked: number, free: number) => `Your wallet has ${lumens(free)} free, and ${lumens(locked)} would be locked. Add lumens first, or choose less.`,
  odds: (p: number | null) => (p === null || p <= 0 || p < 1e-9 ? "Less than one in a billion a month" : p > 0.05 ? `${percent(p)} a month` : `One in ${count(Math.round(1 / p))} a month`),
  keep: "Keep for",
  keepChoices: { month: "1 month", months3: "3 months", months6: "6 months", year: "1 year" },
  renew: "Renew by itself before that ends",
  preset: "Safety",
  presets: {
    economy: { title: "Economy", sentence: "Least space" },
    standard: { title: "Standard", sentence: "Right for most" },
    safe: { title: "Safe", sentence: "Survives the most" },
  } satisfies Record<PresetName, { title: string; sentence: string }>,
  taken: (names: string[]) => (names.length === 1 ? `“${names[0]}” is already stored.` : `${count(names.length)} of these are already stored.`),
  replace: "Replace it if its content differs",
  go: "Store",
};
