import { describe, expect, test } from "vitest";
import { XLM } from "../format";
import type { Earning, Escrow, Wallet } from "../ipc";
import { history, wallets } from "../mock-wallet";
import { earningsOf, freeOf, memoBytes, nextOf, owedToFarmers, paymentsOf, paysNext, perEpoch, settledAt, spendingFormOf, spendingLimitsOf, stroopsOf, textOf } from "./wallet";

const DAY = 86_400;
const HOUR = 3_600;
const [sample] = wallets.usual.escrows as [Escrow];
const reckoning = sample.reckoning as NonNullable<Escrow["reckoning"]>;
const wallet = (...escrows: Partial<Escrow>[]): Wallet => ({ ...wallets.usual, escrows: escrows.map((change) => ({ ...sample, ...change })) });

describe("what farming earned", () => {
  test("is told apart from what may come, and each stroop is in one place only", () => {
    const farmer = { role: "farmer", locked: 1_000, owed: 300, at_risk: 120, paid: 50 } as const;
    const parts = earningsOf({ ...wallet(farmer, { role: "owner", locked: 9_000, owed: 9_000, at_risk: 9_000 }), status: { ...wallets.usual.status, earned: 50 } });
    expect(parts).toEqual({ paid: 50, owed: 180, atRisk: 120, locked: 700 });
    expect(parts.owed + parts.atRisk + parts.locked).toBe(farmer.locked);
  });

  test("is never more than nothing where an escrow holds less than is owed", () => {
    expect(earningsOf(wallet({ role: "farmer", locked: 10, owed: 30, at_risk: 0 })).locked).toBe(0);
  });

  test("does not count what an owner owes, and the other way round", () => {
    const both = wallet({ role: "farmer", owed: 7 }, { role: "owner", owed: 5 }, { role: "auditor", owed: 3 });
    expect(owedToFarmers(both)).toBe(5);
    expect(earningsOf(both).owed).toBe(7);
  });
});

test("what farming is paid to pays for no escrow", () => {
  expect(freeOf({ ...wallets.usual, status: { ...wallets.usual.status, free: 30 }, payout: { address: "G", free: 12 } })).toBe(18);
  expect(freeOf({ ...wallets.usual, status: { ...wallets.usual.status, free: 30 }, payout: null })).toBe(30);
});

describe("the next settlement", () => {
  test("is the soonest that this wallet pays or gets", () => {
    const at = (next_settlement: number | null, change: Partial<Escrow> = {}) => ({ next_settlement, waits_for: "period_end" as const, ...change });
    expect(nextOf(wallet(at(30), at(20), at(10, { role: "auditor" }), at(5, { stage: "over" }), at(null)))?.at).toBe(20);
    expect(nextOf(wallet())).toBeUndefined();
  });

  test("of a period that is over is due now, unless too little is owed for it", () => {
    const over = { ...sample, next_settlement: 90, reckoning: { ...reckoning, until: 60 } };
    expect(settledAt({ ...over, waits_for: "audits" })).toBe(60);
    expect(settledAt({ ...over, waits_for: "farmer" })).toBe(60);
    expect(settledAt({ ...over, waits_for: "worth" })).toBe(90);
    expect(settledAt({ ...over, stage: "expected", waits_for: "setup" })).toBeNull();
  });

  test("pays what is owed less what was paid, and nothing is guessed before audits counted", () => {
    expect(paysNext({ ...sample, reckoning: { ...reckoning, owed: 50, paid: 20 } })).toBe(30);
    expect(paysNext({ ...sample, reckoning: { ...reckoning, owed: 20, paid: 50 } })).toBe(0);
    expect(paysNext({ ...sample, reckoning: null })).toBeNull();
  });

  test("counts a TB kept for 30 proved days at its price", () => {
    expect(30 * perEpoch({ ...reckoning, bytes: 1e12, price: 3_000, epoch_seconds: DAY })).toBeCloseTo(3_000);
  });
});

describe("payments over time", () => {
  const now = Date.UTC(2026, 10, 20, 12) / 1000;
  const earned = (...seconds: number[]): Earning[] => seconds.map((ago, i) => ({ at: now - ago, amount: 10 + i, total: 0 }));
  const sum = ({ bars }: ReturnType<typeof paymentsOf>) => bars.reduce((total, { amount }) => total + amount, 0);

  test("are in slots that suit how long it has been", () => {
    expect(paymentsOf(earned(HOUR), now).unit).toBe("hour");
    expect(paymentsOf(earned(3 * DAY), now).unit).toBe("day");
    expect(paymentsOf(earned(90 * DAY), now).unit).toBe("week");
    expect(paymentsOf(earned(800 * DAY), now).unit).toBe("month");
  });

  test("lose nothing, and show slots without any as nothing", () => {
    for (const points of [earned(0), earned(5 * HOUR, 60), earned(20 * DAY, 3 * DAY, 3 * DAY, 0), earned(700 * DAY, 40 * DAY)]) {
      const payments = paymentsOf(points, now);
      expect(sum(payments)).toBe(points.reduce((total, { amount }) => total + amount, 0));
      expect(payments.bars.length).toBeGreaterThanOrEqual(12);
    }
    expect(paymentsOf(earned(20 * DAY, 0), now).bars.filter(({ amount }) => amount === 0).length).toBe(19);
  });

  test("of a clock that is ahead of ours are shown too", () => {
    expect(sum(paymentsOf(earned(-2 * HOUR, HOUR), now))).toBe(21);
  });
});

describe("amounts that people write", () => {
  test("are exact to the stroop, with a point or a comma", () => {
    expect(stroopsOf("12.5")).toBe(125_000_000);
    expect(stroopsOf(" 0,0000001 ")).toBe(1);
    expect(stroopsOf("9874.1234567")).toBe(98_741_234_567);
  });

  test("are refused rather than guessed", () => {
    for (const text of ["", "x", "-1", "1e3", "1.2.3", "1,000.5", "0.00000001", ".", "999999999999"]) expect(stroopsOf(text), text).toBeUndefined();
  });

  test("come back as they were", () => {
    for (const stroops of [0, 1, 10, 12.5 * XLM, 100 * XLM, 98_741_234_567]) expect(stroopsOf(textOf(stroops))).toBe(stroops);
    expect(textOf(100 * XLM)).toBe("100");
  });

  test("make limits, where nothing is no limit and zero is one", () => {
    const limits = { per_day: 0, in_all: null, price: 5 * XLM };
    expect(spendingLimitsOf(spendingFormOf(limits))).toEqual(limits);
    expect(spendingLimitsOf({ perDay: "much", inAll: "", price: "" })).toBeUndefined();
  });
});

test("a memo is counted in bytes", () => {
  expect(memoBytes("für")).toBe(4);
  expect(memoBytes("🌾")).toBe(4);
});

test("every kind of payment occurs among the samples", () => {
  expect(new Set(history.map(({ kind }) => kind)).size).toBe(8);
});
