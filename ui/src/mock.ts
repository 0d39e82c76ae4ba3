// A pretended node, to look at the pages in any browser (`vite --mode mock`, then `#busy`, `#empty`, `#first`, `#held`,
// `#failed`, `#locked`, `#fine`, `#unasked`, `#worn`, `#spent`, `#broken`, `#unpriced` or `#funded`). Never part of a build
// that people get.

import { mockIPC, mockWindows } from "@tauri-apps/api/mocks";
import { earnings, history, lookUp, quote, sent, wallets } from "./mock-wallet";
import { histories, receipt, report, standings } from "./mock-audits";
import type { FarmStatus, FileEntry, Job, Phase, Quote, ScrubStatus, SpendingLimits, Status, Wallet } from "./ipc";

const GB = 1_000_000_000;
const NOW = Math.floor(Date.now() / 1000);
const DAY = 86_400;
const hex = (start: string) => start.repeat(8).slice(0, 64);

export const status: Status = {
  network: "testnet",
  device: hex("5b21c0de"),
  version: "0.1.0",
  home: "/home/mira/.local/share/hayloft",
  owner: { owner: hex("a7f0e613"), unlocked: true, protection: "passphrase" },
  farming: true,
  auditing: false,
  peers: 14,
  farmers: 12,
  addresses: [`/ip4/192.168.1.20/udp/41200/quic-v1/p2p/12D3KooW${hex("9b").slice(0, 44)}`, `/ip4/192.168.1.20/tcp/41200/p2p/12D3KooW${hex("9b").slice(0, 44)}`],
  notices: [],
  ledger: true,
};

const scrub: ScrubStatus = { hurried: false, begun: NOW - 3 * DAY, checked_shards: 150, checked_bytes: 15.1 * GB, total_shards: 713, total_bytes: 71.4 * GB, ended: NOW - 3 * DAY, lost_shards: 0, lost_bytes: 0, unreadable_shards: 0, troubled: [], problem: null };

export const farm: FarmStatus = {
  settings: { enabled: true, folder: null, quota_bytes: 250 * GB, storage_price: 0, egress_price: 0, upload_limit: null, download_limit: 5_000_000, hours: null, paused: false, operator: null },
  used_bytes: 71.4 * GB,
  reserved_bytes: 6.2 * GB,
  free_bytes: 172.4 * GB,
  overhead_bytes: 0.08 * GB,
  disk_free_bytes: 612 * GB,
  accepting: true,
  reason: null,
  contracts: [
    { contract: hex("c1"), owner: hex("03af91bc"), shards: 412, bytes: 41.2 * GB, capacity_bytes: 60 * GB, start: NOW - 40 * DAY, end: NOW + 50 * DAY, delete_after: NOW + 80 * DAY },
    { contract: hex("c2"), owner: hex("e20d4477"), shards: 301, bytes: 30.2 * GB, capacity_bytes: 32 * GB, start: NOW - 12 * DAY, end: NOW + 79 * DAY, delete_after: NOW + 109 * DAY },
  ],
  scrub,
  leaving: null,
  standings: standings.good,
  folder: "/home/mira/.local/share/hayloft/shards",
};

const worn: FarmStatus = { ...farm, standings: standings.suspended, scrub: { ...scrub, hurried: true, lost_shards: 3, lost_bytes: 12_600_000, unreadable_shards: 1 } };

const file = (name: string, bytes: number, health: FileEntry["health"], alive: number, change: Partial<FileEntry> = {}): FileEntry => ({
  name,
  bytes,
  stored_bytes: bytes * 2.5,
  dead_bytes: 0,
  stored: NOW - 9 * DAY,
  keep_until: NOW + 82 * DAY,
  renew: true,
  k: 4,
  n: 12,
  alive,
  health,
  warning: null,
  ...change,
});

export const files: FileEntry[] = [
  file("Letters/grandmother 1962.pdf", 18_400_000, "good", 12),
  file("Photos/summer at the lake.zip", 4_210_000_000, "good", 12),
  file("Photos/wedding.mp4", 2_380_000_000, "fair", 9),
  file("accounts.ods", 214_000, "good", 12),
  file("thesis final (really).docx", 3_800_000, "danger", 5, { renew: false, keep_until: NOW + 6 * DAY, warning: "Its time ends in 6 days. Renew it to keep it." }),
];

const job = (id: number, change: Partial<Job>): Job => ({
  id,
  kind: "put",
  name: "family archive.tar",
  state: "running",
  done_bytes: 1_310_000_000,
  total_bytes: 3_100_000_000,
  done_files: 0,
  total_files: 1,
  bytes_per_second: 11_400_000,
  message: null,
  error: null,
  begun: NOW,
  ...change,
});

const jobs: Job[] = [
  job(4, {}),
  job(3, { kind: "get", name: "Photos/wedding.mp4", state: "paused", done_bytes: 800_000_000, total_bytes: 2_380_000_000, bytes_per_second: 0 }),
  job(2, { name: "old disk", state: "failed", error: "not_enough_farmers", message: "Only 2 farmers answered and 5 are needed. Wait until more are online, then try again.", total_files: 210, done_files: 12 }),
  job(1, { name: "accounts.ods", state: "done", done_bytes: 214_000, total_bytes: 214_000 }),
];

const free: Quote = { ...quote, price: 0, monthly_price: 0, total_price: 0, locked: 0, reserves: 0, paid_until: null, returns: null };

const words = "abandon ability able about above absent absorb abstract absurd abuse access accident account accuse achieve acid acoustic acquire across act action actor actress actual".split(" ");

const wrong = (message: string) => ({ code: "internal" as const, message });
const farms: Record<string, FarmStatus> = { worn, spent: { ...farm, standings: standings.disqualified }, unasked: { ...farm, standings: [] } };
const purses: Record<string, Wallet> = { empty: wallets.fresh, funded: wallets.funded, worn: wallets.strained };
/** What never comes, so that waiting can be looked at, and what goes wrong. */
const waiting = new Promise<never>(() => undefined);
const refused = { code: "not_enough_farmers" as const, message: "The store is busy: try again in a moment." };
const silent = { code: "ledger" as const, message: "The ledger does not answer: check that this computer is online, then try again." };
const receiptRefused = { code: "bad_request" as const, message: "The farmer’s signature under the answer does not fit." };
const phases: Record<string, Phase> = {
  held: { phase: "held", error: wrong("Another node runs on this home.") },
  failed: { phase: "failed", error: wrong("The settings in /home/mira/.local/share/hayloft/config.json were written by a newer Hayloft. Install the newest version, or choose another folder with --home.") },
};

let heard: { command: string; request: unknown }[] = [];
/** What a command was called with since the scene began, in order. */
export const asked = (command: string) => heard.filter((one) => one.command === command).map(({ request }) => request);

/** Answers every command from the samples; `scene` chooses what is shown. */
export function pretend(scene: string) {
  heard = [];
  const first = scene === "first";
  const empty = scene === "empty" || first;
  const answers: Record<string, unknown> = {
    phase: phases[scene] ?? { phase: "open" },
    status: { ...status, owner: first ? null : { ...status.owner, unlocked: scene !== "locked" }, farming: !first, ledger: scene !== "unpriced", peers: scene === "empty" ? 0 : status.peers },
    farm_status: empty ? { ...farm, settings: { ...farm.settings, enabled: false, quota_bytes: 0 }, used_bytes: 0, reserved_bytes: 0, contracts: [] } : (farms[scene] ?? farm),
    farm_scrub: { ...farm, scrub: { ...scrub, hurried: true } },
    farm_set: farm,
    farm_leave: farm,
    repair: 4,
    files: empty ? [] : files,
    jobs: scene === "busy" ? jobs : [],
    job_report: null,
    quote: scene === "unpriced" ? free : quote,
    wallet: purses[scene] ?? wallets.usual,
    wallet_fund: wallets.funded,
    wallet_look_up: ({ address }: { address: string }) => lookUp(address),
    wallet_import: wallets.usual.payout?.address,
    wallet_send: scene === "worn" ? sent.failed : scene === "busy" ? sent.underWay : sent.done,
    wallet_history: empty || scene === "funded" ? [] : history,
    wallet_earnings: empty || scene === "funded" ? [] : earnings,
    set_wallet_limits: ({ limits }: { limits: SpendingLimits }) => limits,
    create_identity: words,
    pick_files: ["/home/mira/summer.zip"],
    health: { name: "", k: 4, n: 12, health: "fair", sentence: "9 of 12 pieces are there; 4 are enough.", repairing: false, segments: [{ alive: 9, k: 4, n: 12, missing: [hex("de"), hex("ad"), hex("be")] }, { alive: 12, k: 4, n: 12, missing: [] }] },
    audit_history: scene === "fine" ? histories.fine : scene === "unasked" ? histories.unasked : histories.mixed,
    audit: scene === "busy" ? waiting : report,
    audit_verify: scene === "worn" ? { ...receipt, verdict: "failed", reason: "The farmer’s proof does not fit what was asked for: pieces are lost or changed." } : receipt,
    pick_file: "/home/mira/receipt 1f0c93ae 2026-11-28.json",
    pick_output: "/home/mira/receipt.json",
    window_settings: { start_with_computer: true, close_hides: true },
  };
  mockWindows("main");
  const failing: Record<string, unknown> = scene === "broken" ? { audit: refused, audit_history: refused, audit_verify: receiptRefused, wallet: silent, wallet_history: silent, wallet_earnings: silent } : {};
  mockIPC(
    (command, request) => {
      heard.push({ command, request });
      if (failing[command]) throw failing[command];
      const answer = answers[command];
      return (typeof answer === "function" ? answer(request) : answer) ?? null;
    },
    { shouldMockEvents: true },
  );
}
