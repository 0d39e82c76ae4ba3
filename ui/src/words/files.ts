// The stored files, how each one is doing, and what can be done with one.

import type { HealthWord } from "../ipc";
import { bytes, date } from "../format";
import { plural } from "./plural";

export const files = {
  title: "Files",
  summary: (n: number, size: number) => `${plural(n, "file", "files")} · ${bytes(size)}`,
  add: "Store files",
  addFolder: "Store a folder",
  empty: {
    title: "Nothing stored yet",
    sentence: "Drop files anywhere in this window, or choose some. They are locked before they leave this computer.",
  },
  noKey: {
    title: "Store files of your own",
    sentence: "For that, Hayloft makes a key that only you have, and shows you 24 words to write down.",
    start: "Make my key",
  },
  locked: {
    title: "Your files are locked",
    sentence: "Enter your passphrase to see and move them. Sharing space goes on meanwhile.",
    field: "Passphrase",
    open: "Unlock",
  },
  drop: "Let go to store here",
  search: "Find a file",
  none: "No file has that in its name.",
  more: (n: number) => `Show ${plural(n, "more file", "more files")}`,
  columns: { name: "Name", size: "Size", health: "Health", until: "Kept until", actions: "Actions" },
  download: "Download",
  downloadNamed: (name: string) => `Download ${name}`,
  details: (name: string) => `Details of ${name}`,
  renews: "renewed by itself",
};

export const health = {
  good: { word: "Good", sentence: (_alive: number, n: number) => (n === 1 ? "Its one piece is there." : `All ${n} pieces are there.`) },
  fair: { word: "Fair", sentence: (alive: number, n: number, k: number) => `${alive} of ${n} pieces are there; ${k} are enough.` },
  danger: { word: "In danger", sentence: (alive: number, n: number, k: number) => `Only ${alive} of ${n} pieces are there; ${k} are needed.` },
  lost: { word: "Out of reach", sentence: (alive: number, n: number, k: number) => `${alive} of ${n} pieces are there; ${k} are needed. It comes back if their farmers do.` },
} satisfies Record<HealthWord, { word: string; sentence: (alive: number, n: number, k: number) => string }>;

export const details = {
  asking: "Asking each farmer…",
  ask: "Check now",
  repair: "Repair now",
  repairing: "The lost pieces are rebuilt with other computers.",
  stored: "Stored",
  until: "Kept until",
  size: "Size",
  onDisks: "On other people’s disks",
  dead: (size: number) => `of which ${bytes(size)} belong to removed files and are cleared later`,
  coding: "Pieces",
  codingValue: (k: number, n: number) => (n === 1 ? "one" : k === 1 ? `${n} copies` : `${n}, any ${k} are enough`),
  segments: "Parts",
  segment: (i: number) => `Part ${i}`,
  alive: (alive: number, n: number) => `${alive} of ${n} answered`,
  missing: (n: number) => `No answer from ${plural(n, "farmer", "farmers")}`,
  renew: "Keep for three more months",
  renewed: (until: number) => `Kept until ${date(until)}.`,
  auto: "Renew by itself before it ends",
  remove: "Remove…",
  removeTitle: "Remove this file?",
  removeSentence: (name: string) => `“${name}” is deleted from all farmers that keep it. This cannot be undone.`,
  removeYes: "Remove",
};
