// How Hayloft behaves on this computer, and how the key is kept.

import type { Protection } from "../ipc";

export const settings = {
  title: "Settings",
  behaviour: "On this computer",
  start: "Start with the computer",
  startHint: "Opens in the tray, so that what you keep for others stays reachable.",
  tray: "Keep running when the window is closed",
  trayHint: "Find Hayloft in the tray, or start it again to see the window.",
  keys: "Your key",
  none: "No key yet. It is made when you first store a file.",
  protection: {
    keychain: { title: "Kept in this computer’s keychain", sentence: "It opens when you log in." },
    passphrase: { title: "Protected by your passphrase", sentence: "You are asked for it when Hayloft starts." },
    none: { title: "Not protected", sentence: "Anybody who can use this computer can open your files." },
  } satisfies Record<Protection, { title: string; sentence: string }>,
  owner: "Public name of your key",
  later: "Opening them elsewhere with your 24 recovery words comes in a later version, so keep the paper.",
};
