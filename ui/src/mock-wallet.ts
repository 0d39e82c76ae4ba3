// Samples of money: wallets in every state, for looking at the pages and for tests.

import { XLM } from "./format";
import type { Earning, Escrow, Quote, Reckoning, Recipient, SendReport, Wallet, WalletEntry } from "./ipc";

const NOW = Math.floor(Date.now() / 1000);
const HOUR = 3_600;
const DAY = 24 * HOUR;
const GB = 1_000_000_000;
const hex = (start: string) => start.repeat(8).slice(0, 64);
const address = (start: string) => `G${start.repeat(12)}`.slice(0, 56);
export const someone = address("DKQ7FJ2XWZ5");

const reckoning: Reckoning = { from: NOW - 41 * HOUR, until: NOW + 31 * HOUR, price: 4 * XLM, bytes: 310 * GB, epoch_seconds: DAY, epochs: 3, passed: 1, failed: 0, missed: 0, undecided: 0, share_ppm: 900_000, owed: 16_533_333, paid: 16_120_000, least: 30_000 };

const escrow = (start: string, change: Partial<Escrow>): Escrow => ({
  account: address(start),
  contract: hex("c4d01f22"),
  with: hex(start.toLowerCase()),
  role: "owner",
  stage: "standing",
  locked: 20_700_000,
  reserve: 12_500_000,
  owed: 413_333,
  at_risk: 0,
  paid: 16_120_000,
  ends: NOW + 64 * DAY,
  next_settlement: NOW + 31 * HOUR,
  returns: NOW + 71 * DAY,
  waits_for: "period_end",
  reckoning,
  problem: null,
  ...change,
});

const escrows: Escrow[] = [
  escrow("1F0C93AE", {}),
  escrow("77B2D1C0", { waits_for: "worth", locked: 1_200_000, owed: 4_000, paid: 0, next_settlement: NOW + 2 * DAY, reckoning: { ...reckoning, bytes: 0.5 * GB, owed: 4_000, paid: 0 } }),
  escrow("9D31AA52", { stage: "expected", waits_for: "setup", locked: 0, reserve: 0, owed: 0, paid: 0, contract: null, reckoning: null }),
  escrow("03AF91BC", { role: "farmer", locked: 31_000_000, owed: 2_400_000, at_risk: 1_200_000, paid: 48_000_000, next_settlement: NOW + 40 * HOUR, reckoning: { ...reckoning, bytes: 900 * GB, passed: 2, owed: 50_400_000, paid: 48_000_000 } }),
  escrow("E20D4477", { role: "farmer", waits_for: "settlement", locked: 8_000_000, owed: 900_000, paid: 12_000_000, next_settlement: NOW + 50 * HOUR, reckoning: { ...reckoning, bytes: 675 * GB, owed: 12_900_000, paid: 12_000_000 } }),
  escrow("5B21C0DE", { stage: "over", waits_for: null, locked: 0, reserve: 0, owed: 0, paid: 9_000_000, returns: NOW - DAY, next_settlement: null, reckoning: null }),
];

const usual: Wallet = {
  status: { network: "testnet", address: address("BV3LZQ6HTXP"), free: 9_874.1234567 * XLM, escrow: 46_900_000, owed: 3_717_333, paid: 25_120_000, earned: 60_000_000 },
  reserved: 2.5 * XLM,
  exists: true,
  payout: { address: address("CX5WQJ4TMEA"), free: 12.5 * XLM },
  gives: true,
  limits: { per_day: 20 * XLM, in_all: null, price: 5 * XLM },
  spent: { today: 3.2 * XLM, in_all: 41.0771 * XLM },
  safe_until: NOW + 64 * DAY,
  problem: null,
  escrows,
};

const fresh: Wallet = { ...usual, status: { ...usual.status, free: 0, escrow: 0, owed: 0, paid: 0, earned: 0 }, reserved: 0, exists: false, payout: null, limits: { per_day: null, in_all: null, price: null }, spent: { today: 0, in_all: 0 }, safe_until: null, escrows: [] };

const strained: Wallet = {
  ...usual,
  status: { ...usual.status, free: 0.0000321 * XLM },
  payout: null,
  limits: { per_day: 3 * XLM, in_all: 50 * XLM, price: null },
  spent: { today: 3 * XLM, in_all: 49.99 * XLM },
  safe_until: NOW + 20 * HOUR,
  problem: "The test network was wiped. Escrows are set up anew; nothing that is stored is touched.",
  escrows: [
    escrow("1F0C93AE", { problem: "The auditor’s books say 0.0413334 XLM and this computer’s 0.0413333 XLM: nothing is signed until they agree." }),
    escrow("77B2D1C0", { waits_for: "audits", at_risk: 413_333, reckoning: { ...reckoning, until: NOW - HOUR, failed: 1, undecided: 1 } }),
    escrow("03AF91BC", { role: "farmer", waits_for: "audits", locked: 31_000_000, owed: 2_400_000, at_risk: 2_400_000, paid: 48_000_000, reckoning: { ...reckoning, until: NOW - 2 * HOUR, passed: 2, missed: 1, bytes: 900 * GB, owed: 50_400_000, paid: 48_000_000 } }),
    escrow("E20D4477", { role: "auditor", waits_for: "reserve", next_settlement: null, reckoning: null }),
  ],
};

export const wallets = { usual, fresh, funded: { ...fresh, exists: true, status: { ...fresh.status, free: 9_999 * XLM }, reserved: XLM }, strained };

const entry = (days: number, change: Partial<WalletEntry>): WalletEntry => ({ at: NOW - days * DAY, kind: "earned", incoming: true, amount: 3_585_000, with: address("03AF91BC"), contract: hex("c19b03e7"), memo: null, transaction: hex("7a"), ...change });

export const history: WalletEntry[] = [
  entry(0.1, {}),
  entry(1, { kind: "sent", incoming: false, amount: 12.5 * XLM, with: someone, contract: null, memo: "for the spare disk" }),
  entry(2, { kind: "escrow", incoming: false, amount: 24_900_000, with: address("1F0C93AE"), contract: hex("c4d01f22") }),
  entry(3, {}),
  entry(5, { kind: "returned", amount: 310_000, with: address("5B21C0DE") }),
  entry(5, { kind: "closed", amount: 12_500_000, with: address("5B21C0DE") }),
  entry(6, { kind: "received", amount: 50 * XLM, with: someone, contract: null }),
  entry(8, { kind: "elsewhere", incoming: false, amount: null, with: someone, contract: null }),
  ...Array.from({ length: 18 }, (_, i) => entry(9 + 3 * i, { amount: 2_000_000 + 110_000 * i })),
  entry(64, { kind: "funded", amount: 10_000 * XLM, with: someone, contract: null }),
];

export const earnings: Earning[] = [];
for (const { at, kind, amount } of history.toReversed()) {
  if (kind === "earned" && amount !== null) earnings.push({ at, amount, total: (earnings.at(-1)?.total ?? 0) + amount });
}

export const quote: Quote = {
  files: 1,
  bytes: 1.24 * GB,
  stored_bytes: 3.1 * GB,
  k: 4,
  n: 12,
  price: 40_000_000,
  monthly_price: 124_000,
  total_price: 376_134,
  locked: 154_900_000,
  reserves: 150_000_000,
  paid_until: NOW + 90 * DAY,
  returns: NOW + 97 * DAY,
  loss_odds: 2.4e-8,
  warnings: [],
};

/** An exchange, as it were. */
export const exchange = address("EXCHANGE2A7");

/** Any text of the right form is an address here, without a check of its sum; only these three have an account. */
export function lookUp(to: string): Recipient {
  if (!/^G[A-Z2-7]{55}$/.test(to)) throw { code: "bad_request", message: "That is no address: it begins with G and has 56 letters and digits. Copy it again." };
  return { exists: [someone, exchange, usual.status.address].includes(to), memo_required: to === exchange, own: to === usual.status.address, fee: 100 };
}

export const sent = {
  done: { state: "done", reason: null },
  underWay: { state: "under_way", reason: null },
  failed: { state: "failed", reason: "Its time ran out before a ledger took it: try again." },
} satisfies Record<string, SendReport>;
