// What the wallet screen shows, from what the node said. Pure. Nothing counts as earned before it is paid.

import { max, min, rollup } from "d3-array";
import { timeDay, timeHour, timeMonth, timeWeek, type CountableTimeInterval } from "d3-time";
import { XLM } from "../format";
import type { Earning, Escrow, EscrowRole, Reckoning, SpendingLimits, Wallet } from "../ipc";

const DAY_MS = 86_400_000;
const MONTH_SECONDS = 30 * 86_400;
const TB = 1_000_000_000_000;
/** The ledger takes no longer memo. */
export const MOST_MEMO_BYTES = 28;

const escrowsOf = (wallet: Wallet, role: EscrowRole) => wallet.escrows.filter((escrow) => escrow.role === role);
const sum = (escrows: Escrow[], part: (escrow: Escrow) => number) => escrows.reduce((total, escrow) => total + part(escrow), 0);

/** What a farmer has, may expect, and may yet lose, in stroops. Each stroop is in one of them only. */
export type Earnings = { paid: number; owed: number; atRisk: number; locked: number };

export function earningsOf(wallet: Wallet): Earnings {
  const mine = escrowsOf(wallet, "farmer");
  return {
    paid: wallet.status.earned,
    owed: sum(mine, ({ owed, at_risk }) => Math.max(0, owed - at_risk)),
    atRisk: sum(mine, ({ at_risk }) => at_risk),
    locked: sum(mine, ({ locked, owed }) => Math.max(0, locked - owed)),
  };
}

/** What can be spent from the wallet itself, without the account that farming is paid to: escrows are paid from it alone. */
export const freeOf = ({ status, payout }: Wallet) => status.free - (payout?.free ?? 0);

/** What this owner owes its farmers; it is part of what is in escrow. */
export const owedToFarmers = (wallet: Wallet) => sum(escrowsOf(wallet, "owner"), ({ owed }) => owed);

/** What the next settlement of an escrow would pay, in stroops, by what is known now; none before anything was judged. */
export const paysNext = ({ reckoning }: Escrow) => reckoning && Math.max(0, reckoning.owed - reckoning.paid);

/** When an escrow is settled next, in seconds since 1970; in the past if that is due already, none if there is nothing to settle. */
export function settledAt({ stage, waits_for, next_settlement, reckoning }: Escrow): number | null {
  if (stage !== "standing") return null;
  const due = waits_for === "audits" || waits_for === "farmer" || waits_for === "settlement";
  return due && reckoning ? reckoning.until : next_settlement;
}

/** The escrow that is settled next, among those that this wallet pays or is paid by. */
export function nextOf(wallet: Wallet): { escrow: Escrow; at: number } | undefined {
  const coming = wallet.escrows.flatMap((escrow) => {
    const at = settledAt(escrow);
    return at === null || escrow.role === "auditor" ? [] : [{ escrow, at }];
  });
  return coming.sort((a, b) => a.at - b.at)[0];
}

/** What one epoch earns with what is kept now, in stroops and not rounded, if its audit passes: as `core::settlement` has it. */
export function perEpoch({ bytes, price, epoch_seconds }: Reckoning): number {
  return ((bytes / TB) * price * epoch_seconds) / MONTH_SECONDS;
}

export type Unit = "hour" | "day" | "week" | "month";
/** What was paid in each hour, day, week or month up to now, also where it was nothing. */
export type Payments = { unit: Unit; bars: { from: number; amount: number }[] };

const intervals: Record<Unit, CountableTimeInterval> = { hour: timeHour, day: timeDay, week: timeWeek, month: timeMonth };
/** So many bars are drawn at least, so that one payment does not look like a trend. */
const LEAST_BARS = 12;

function unitOf(spanMs: number): Unit {
  if (spanMs < 2 * DAY_MS) return "hour";
  if (spanMs < 60 * DAY_MS) return "day";
  return spanMs < 365 * DAY_MS ? "week" : "month";
}

/** `now` is in seconds since 1970, and so is `from` in each bar. */
export function paymentsOf(points: Earning[], now: number): Payments {
  const end = max([now, ...points.map(({ at }) => at)]) ?? now;
  const begin = min(points, ({ at }) => at) ?? end;
  const unit = unitOf((end - begin) * 1000);
  const interval = intervals[unit];
  const slot = (at: number) => interval.floor(new Date(at * 1000));
  const paid = rollup(points, (of) => of.reduce((total, { amount }) => total + amount, 0), ({ at }) => slot(at).getTime());
  const last = slot(end);
  const first = new Date(Math.min(slot(begin).getTime(), interval.offset(last, 1 - LEAST_BARS).getTime()));
  const bars = interval.range(first, interval.offset(last, 1)).map((from) => ({ from: from.getTime() / 1000, amount: paid.get(from.getTime()) ?? 0 }));
  return { unit, bars };
}

/** Stroops of an amount in XLM as a person writes it; none if it is no amount. */
export function stroopsOf(text: string): number | undefined {
  const [, whole, part = ""] = /^(\d{1,12})(?:[.,](\d{1,7}))?$/.exec(text.trim()) ?? [];
  if (whole === undefined) return undefined;
  const stroops = Number(whole) * XLM + Number(part.padEnd(7, "0"));
  return Number.isSafeInteger(stroops) ? stroops : undefined;
}

/** The same amount as a person would write it. */
export function textOf(stroops: number): string {
  return (stroops / XLM).toFixed(7).replace(/\.?0+$/, "");
}

export const memoBytes = (memo: string) => new TextEncoder().encode(memo).length;

/** Spending limits as a form holds them; an empty field is no limit, and 0 lets nothing be spent. */
export type SpendingForm = { perDay: string; inAll: string; price: string };

export function spendingFormOf({ per_day, in_all, price }: SpendingLimits): SpendingForm {
  const text = (limit: number | null) => (limit === null ? "" : textOf(limit));
  return { perDay: text(per_day), inAll: text(in_all), price: text(price) };
}

/** None if a field holds no amount. */
export function spendingLimitsOf(form: SpendingForm): SpendingLimits | undefined {
  const limit = (text: string) => (text.trim() === "" ? null : stroopsOf(text));
  const [per_day, in_all, price] = [limit(form.perDay), limit(form.inAll), limit(form.price)];
  return per_day === undefined || in_all === undefined || price === undefined ? undefined : { per_day, in_all, price };
}
