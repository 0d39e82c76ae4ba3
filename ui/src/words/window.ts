// Around the screens: the way between them, how the node starts, and what closing the window does.

import { plural } from "./plural";

export const nav = { label: "Main", files: "Files", audits: "Audits", share: "Share space", wallet: "Wallet", network: "Network", settings: "Settings" };

export const connection = {
  looking: "Looking for others…",
  peers: (n: number) => `Connected to ${plural(n, "other", "others")}`,
};

export const opening = { title: "Opening the loft…", sentence: "Reading your folder and joining the network." };

export const failed = { title: "Hayloft could not start", next: "Nothing that is stored has been touched." };

export const held = {
  title: "Hayloft is already running without a window",
  sentence:
    "Another program on this computer keeps your node running in the background. You can stop that one and go on here; running transfers continue where they were.",
  open: "Open it here instead",
};

export const closing = {
  title: "Hayloft keeps running",
  sentence: "Closing the window only hides it, so that transfers finish and what you keep for others stays reachable. You find Hayloft in the tray, or start it again to see the window.",
  change: "This is said once. You can change it in Settings.",
  hide: "Keep running",
};
