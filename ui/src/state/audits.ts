// What audits have shown of each farmer, from what the node said. Pure. Nothing is good without evidence, and evidence grows old.

import type { AuditHistory, AuditReport, FarmerStanding, OwnAudit, ReceiptWish, VerdictWord } from "../ipc";

/** Beyond this, a proof says too little about now. */
export const FRESH_SECONDS = 7 * 86_400;

export type Mark = "failed" | "missed" | "unknown" | "passed";
const WORST_FIRST: Mark[] = ["failed", "missed", "unknown", "passed"];

/** One verdict. `by`: the auditor; none if this owner asked. `about`: the file; none if all that the farmer keeps. */
export type Seen = { key: string; at: number; verdict: VerdictWord; reason: string | null; by: string | null; about: string | null; contract: string; receipt: ReceiptWish | undefined };

/** A farmer with all verdicts about it, the newest first. `silent`: its auditors that do not answer just now. */
export type FarmerLine = { farmer: string; keeps: boolean; mark: Mark; last: Seen | undefined; seen: Seen[]; standings: FarmerStanding[]; silent: string[] };

export function linesOf(history: AuditHistory, now: number): FarmerLine[] {
  const farmers = new Set([...history.farmers, ...history.own.map(({ farmer }) => farmer), ...history.followed.filter(({ verdicts }) => verdicts?.length).map(({ farmer }) => farmer)]);
  const lines = [...farmers].map((farmer) => lineOf(farmer, history, now));
  const rank = (line: FarmerLine) => (line.keeps ? WORST_FIRST.indexOf(line.mark) : WORST_FIRST.length);
  return lines.sort((a, b) => rank(a) - rank(b) || a.farmer.localeCompare(b.farmer));
}

function lineOf(farmer: string, { own, farmers, followed }: AuditHistory, now: number): FarmerLine {
  const contracts = followed.filter((one) => one.farmer === farmer);
  const seen = [...own.filter((one) => one.farmer === farmer).map(ownSeen), ...contracts.flatMap(judged)].sort((a, b) => b.at - a.at);
  const standings = new Map(contracts.flatMap(({ auditor, standing }) => (standing ? [[auditor, standing]] : [])));
  const silent = new Set(contracts.filter(({ verdicts }) => verdicts === null).map(({ auditor }) => auditor));
  const { mark, last } = markOf(seen, now);
  return { farmer, keeps: farmers.includes(farmer), mark, last, seen, standings: [...standings.values()], silent: [...silent] };
}

function ownSeen(one: OwnAudit, index: number): Seen {
  const { at, verdict, reason, name, contract, farmer } = one;
  const receipt = one.receipt ? { farmer, contract, epoch: null } : undefined;
  return { key: `own ${contract} ${at} ${name} ${index}`, at, verdict, reason, by: null, about: name, contract, receipt };
}

function judged({ farmer, contract, auditor, verdicts }: AuditHistory["followed"][number]): Seen[] {
  return (verdicts ?? []).map(({ epoch, at, verdict, reason, receipt }) => ({
    key: `${contract} ${epoch}`,
    at,
    verdict,
    reason,
    by: auditor,
    about: null,
    contract,
    receipt: receipt ? { farmer, contract, epoch } : undefined,
  }));
}

/**
 * The worst that is newest: of each agreement, asker and file only the newest verdict counts, so that a pass of one file never
 * hides that another one failed. What decides nothing, and what is old, counts for nothing.
 */
function markOf(seen: Seen[], now: number): { mark: Mark; last: Seen | undefined } {
  const asked = new Set<string>();
  const newest = seen.filter(({ contract, by, about, verdict }) => {
    const question = JSON.stringify([contract, by, about]);
    if (verdict === "undecided" || asked.has(question)) return false;
    asked.add(question);
    return true;
  });
  const fresh = newest.filter(({ at }) => now - at <= FRESH_SECONDS);
  for (const mark of ["failed", "missed", "passed"] as const) {
    const last = fresh.find(({ verdict }) => verdict === mark);
    if (last) return { mark, last };
  }
  return { mark: "unknown", last: newest[0] };
}

export type Counts = Record<Mark, number> & { all: number };

/** How many of the farmers that keep something now have which mark. */
export function countsOf(lines: FarmerLine[]): Counts {
  const keeping = lines.filter(({ keeps }) => keeps);
  const counts: Counts = { all: keeping.length, passed: 0, failed: 0, missed: 0, unknown: 0 };
  for (const { mark } of keeping) counts[mark] += 1;
  return counts;
}

/** How it stands with all: good only if each of them is. */
export function markOfAll(counts: Counts): Mark {
  return WORST_FIRST.find((mark) => counts[mark] > 0) ?? "unknown";
}

/** Farmers of a report, and those of them that passed all they were asked. */
export function outcome({ verdicts }: AuditReport): { passed: number; all: number } {
  const all = new Set(verdicts.map(({ farmer }) => farmer));
  const rest = new Set(verdicts.filter(({ verdict }) => verdict !== "passed").map(({ farmer }) => farmer));
  return { passed: all.size - rest.size, all: all.size };
}
