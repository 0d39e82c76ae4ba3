// What farming earned, and each payment that came or went.

import type { EntryKind } from "../ipc";
import type { Unit } from "../state/wallet";
import { date, lumens, short } from "../format";
import { plural } from "./plural";

export const earnings = {
  title: "Earned by sharing space",
  paid: "Paid",
  owed: "Owed",
  locked: "Locked",
  atRisk: "At risk",
  explained: "Only what was paid is yours. Owed is proved for good and paid at a settlement. At risk is proved so far, but audits of the same period can still take it away. Locked is set aside for time to come: it goes back to the owners unless you keep their data.",
  chart: { hour: "Paid in each hour", day: "Paid on each day", week: "Paid in each week", month: "Paid in each month" } satisfies Record<Unit, string>,
  none: "Nothing was paid yet.",
  spoken: (what: string, from: number, until: number, total: number, most: number) => `${what} from ${date(from)} to ${date(until)}: ${lumens(total)} together, ${lumens(most)} at most.`,
};

export const history = {
  title: "History",
  none: "Nothing happened yet.",
  when: "When",
  what: "What for",
  amount: "XLM",
  with: "With",
  memo: "Memo",
  kinds: {
    funded: "First lumens of the account",
    sent: "Sent by you",
    received: "Received",
    escrow: "Locked for a farmer",
    earned: "Earned by keeping data",
    returned: "Back from an escrow: not earned",
    closed: "Reserve of an escrow came back",
    elsewhere: "From another device or program with this key",
  } satisfies Record<EntryKind, string>,
  under: (contract: string) => `agreement ${short(contract)}`,
  unknown: "not told",
  more: (n: number) => `Show ${plural(n, "older payment", "older payments")}`,
  save: "Save as CSV",
  fileName: (seconds: number) => `Hayloft wallet ${new Date(seconds * 1000).toISOString().slice(0, 10)}.csv`,
  saved: "The history was saved.",
};
