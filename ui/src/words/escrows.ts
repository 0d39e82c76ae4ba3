// Money locked for agreements: each escrow, and how its next settlement is computed.

import type { Escrow, EscrowRole, EscrowWait, Reckoning } from "../ipc";
import { count, duration, lumens, moment, percent, short, XLM } from "../format";
import { plural } from "./plural";

export const next = {
  title: "Next settlement",
  when: (at: number) => `After ${moment(at)}`,
  now: "Due now",
  pay: (stroops: number, who: string) => `As it stands, ${who} gets ${lumens(stroops)} from you.`,
  get: (stroops: number, who: string) => `As it stands, ${who} pays you ${lumens(stroops)}.`,
  wait: (least: number) => `That is less than ${lumens(least)}, so it would wait for the one after: the fee would eat up too much of it.`,
  atRisk: (stroops: number) => `Of this, ${lumens(stroops)} are at risk: audits of the same period are still to come, and can take them away.`,
  unjudged: (who: string) => `No audit with ${who} has counted yet, so nothing can be computed.`,
  nothing: "Nothing is to be settled. Once an escrow stands, the next payment is shown here.",
  how: "How it is computed",
  kept: "Kept now",
  price: "Price of a TB-month",
  each: (seconds: number) => `Earned by each proved audit, for ${duration(seconds)}`,
  about: (stroops: number) => `about ${new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 }).format(stroops / XLM)} XLM`,
  owed: "Owed in all, rounded down once",
  before: "Paid before",
  pays: "To be paid",
  audits: ({ from, until, epochs, passed, failed, missed, undecided }: Reckoning) => {
    const open = epochs - passed - failed - missed - undecided;
    const parts = [`${count(passed)} proved`, failed && `${count(failed)} failed`, missed && `${count(missed)} without an answer so far`, undecided && `${count(undecided)} that decide nothing`, open > 0 && `${count(open)} to come`];
    return `Audits from ${moment(from)} to ${moment(until)}: ${parts.filter(Boolean).join(", ")}.`;
  },
  share: (ppm: number) => `Of those that decide, at least ${percent(ppm / 1_000_000)} must be proved in a period, or it pays nothing.`,
};

export const escrows = {
  title: "Escrows",
  lead: "Each locks money for one agreement. Only time that audits prove is paid out of it; the rest goes back to the owner.",
  none: "None. One is set up by itself when you store files with a farmer that has a price, or keep some for an owner at yours.",
  roles: {
    owner: (who) => `You pay ${who}`,
    farmer: (who) => `You are paid by ${who}`,
    auditor: (who) => `You judge ${who}`,
  } satisfies Record<EscrowRole, (who: string) => string>,
  sides: {
    owner: (id) => (id === null ? "a farmer" : `farmer ${short(id)}`),
    farmer: (id) => (id === null ? "an owner" : `owner ${short(id)}`),
    auditor: (id) => (id === null ? "an agreement" : `an agreement of owner ${short(id)}`),
  } satisfies Record<EscrowRole, (id: string | null) => string>,
  waits: {
    setup: () => "Waits until the ledger shows it.",
    period_end: ({ next_settlement }) => (next_settlement === null ? "Waits for its period to end. Then what audits prove is paid." : `Waits for its period to end, ${moment(next_settlement)}. Then what audits prove is paid.`),
    audits: () => "A period is over. Waits for audits of it that may still be answered.",
    worth: ({ reckoning }) => (reckoning ? `Waits until at least ${lumens(reckoning.least)} are owed, so that the fee stays small beside it.` : "Waits until enough is owed, so that the fee stays small beside it."),
    farmer: () => "A period is over. Waits for the farmer to settle; if it does not in time, this computer does.",
    settlement: () => "A settlement is under way: its auditor signs it, then the ledger takes it.",
    reserve: ({ returns }) => `All is settled. Waits for its reserve to go back to the owner, after ${moment(returns)}.`,
  } satisfies Record<EscrowWait, (escrow: Escrow) => string>,
  over: "Over: nothing is left in it.",
  locked: "Locked",
  reserve: "Reserve",
  owed: "Owed",
  atRisk: "At risk",
  paid: "Paid",
  ends: "Ends",
  returns: "All back after",
  account: "Account",
  contract: "Agreement",
  showOver: (n: number) => `Show ${plural(n, "escrow that is over", "escrows that are over")}`,
};
