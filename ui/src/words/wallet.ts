// The wallet: its balance, its address, and what it may spend.

import { clock, lumens, moment, short } from "../format";
import { earnings, history } from "./earnings";
import { escrows, next } from "./escrows";
import { sending } from "./sending";

export const wallet = {
  title: "Wallet",
  lead: (network: string) => (network === "testnet" ? "Test lumens (XLM) pay farmers. They are worth nothing outside the test network." : `Lumens (XLM) of “${network}” pay farmers. They are worth nothing elsewhere.`),
  none: { title: "There is no money here", sentence: "This node has no ledger: it keeps and stores for free, and needs no wallet. Farmers that ask a price are passed over." },
  locked: { title: "Your wallet is locked", sentence: "Enter your passphrase to see and use it. Sharing space goes on meanwhile." },
  reading: "Asking the ledger…",
  asOf: (at: number) => `As of ${clock(at)}`,
  again: "Look again",
  send: "Send",
  receive: "Receive",
  importing: {
    open: "Use another account…",
    title: "Use another account",
    lead: "An account that you have on this ledger already becomes your wallet: farmers are paid from it.",
    keep: "Your 24 words do not bring it back. Keep its secret.",
    field: "Its secret, which begins with S",
    go: "Use it",
    done: (address: string) => `Your wallet is now ${short(address)}`,
  },
  missing: {
    title: "Your wallet is not on the ledger yet",
    gives: "This network gives test lumens away. They arrive within seconds.",
    ask: "Have somebody send lumens to the address below: the first ones make it.",
    fund: "Get test lumens",
    funding: "Getting them…",
  },
  balance: {
    title: "Balance",
    free: "Free",
    escrow: "In escrow",
    reserved: "Reserved",
    owed: "Owed to farmers",
    explained: "What is in escrow is locked: farmers earn it, or it comes back. What they are owed is part of it. What is reserved is held by the ledger as long as the account lasts.",
    payout: (stroops: number) => `Of what is free, ${lumens(stroops)} are on the account that farming is paid to:`,
    address: "Your address",
    safe: (until: number) => `All that you store is paid for until ${moment(until)}, even if this computer stays off until then.`,
    safeNext: "While Hayloft runs, it pays on by itself.",
    soon: "Leave Hayloft running, with enough that is free, so that it can pay on.",
    unsafe: (until: number) => `All that you store was paid for until ${moment(until)}, and no longer.`,
  },
  receiving: {
    title: "Receive lumens",
    lead: (network: string) => `Only for lumens of the network “${network}”.`,
    code: "Your address as a code to scan",
    copy: "Copy",
    copied: "The address was copied.",
    notCopied: "The address could not be copied. Select it and copy it by hand.",
  },
  sending,
  next,
  earnings,
  escrows,
  history,
  limits: {
    title: "Spending limits",
    lead: "Hayloft never spends more, whoever asks for it. What is locked counts as spent, also where it may come back.",
    perDay: "In any 24 hours, XLM",
    inAll: "In all, XLM",
    price: "For a TB-month, XLM",
    priceHint: "Dearer farmers are left out.",
    none: "no limit",
    hint: "Empty is no limit; 0 lets nothing be spent.",
    spent: (stroops: number, limit: number | null) => (limit === null ? `${lumens(stroops)} spent` : `${lumens(stroops)} of ${lumens(limit)} spent`),
    wrong: "Write an amount like 12.5, or nothing for no limit.",
    saved: "Saved.",
  },
};
