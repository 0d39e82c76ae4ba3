// The first start: what one would like to do, a key, its words, and how much space to share.

import { bytes } from "../format";

export const first = {
  title: "Welcome to Hayloft",
  lead: "Files are locked on your computer, cut into pieces, and kept by other people’s computers: the farmers. Nobody but you can open them.",
  question: "What would you like to do?",
  choices: {
    store: { title: "Store my files", sentence: "Farmers keep them safe, even if some of them disappear." },
    share: { title: "Share free space", sentence: "Be a farmer: keep other people’s locked pieces on your disk." },
    both: { title: "Both", sentence: "Give space and use space. Most people start here." },
  },
  progress: (step: number, of: number) => `Step ${step} of ${of}`,
  space: {
    title: "How much space would you share?",
    lead: "It stays yours: you can change the amount or stop at any time.",
  },
  protect: {
    title: "Lock your keys",
    lead: "Hayloft makes a secret key that opens your files. A passphrase keeps it safe if somebody else uses this computer.",
    keychain: { title: "Computer’s keychain", sentence: "Opens when you log in. Nothing more to remember." },
    passphrase: { title: "Passphrase", sentence: "You type it each time Hayloft starts." },
    none: { title: "Not protected", sentence: "Anybody who can use this computer can open your files." },
    field: "Passphrase",
    repeat: "Passphrase again",
    mismatch: "The two do not match.",
    make: "Make my key",
  },
  words: {
    title: "Your 24 recovery words",
    lead: "Write them on paper, in this order. They are shown this once and kept nowhere.",
    onlyHere: "Your files open only on this computer.",
    later: "Opening them elsewhere with these words comes in a later version, so keep the paper.",
    confirm: "I wrote them down",
    done: "Finish",
  },
};

export const space = {
  label: "Space to share",
  gigabytes: "GB",
  folder: "Kept in",
  ownFolder: "Hayloft’s own folder",
  change: "Choose another folder",
  diskFree: (free: number) => `${bytes(free)} free on this disk`,
  leaves: (left: number) => `Leaves ${bytes(left)} for you.`,
  tight: (left: number) => `Leaves only ${bytes(left)} for you. Computers slow down when their disk is nearly full.`,
  tiny: "This disk has hardly any free space. Choose a folder on another disk.",
  start: "Start sharing",
};
