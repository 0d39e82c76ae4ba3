import { expect, test } from "vitest";
import type { AuditHistory, OwnAudit, VerdictWord } from "../ipc";
import { histories } from "../mock-audits";
import { FRESH_SECONDS, countsOf, linesOf, markOfAll, outcome } from "./audits";

const NOW = 1_900_000_000;
const audit = (verdict: VerdictWord, at: number, change: Partial<OwnAudit> = {}): OwnAudit => ({ name: null, at, farmer: "a", contract: "c", verdict, reason: null, receipt: false, ...change });
const history = (own: OwnAudit[], change: Partial<AuditHistory> = {}): AuditHistory => ({ own, farmers: ["a"], followed: [], ...change });
const mark = (...own: OwnAudit[]) => linesOf(history(own), NOW)[0]?.mark;

test("a farmer that nobody has asked is not known, and so is the whole", () => {
  const lines = linesOf(history([audit("passed", NOW)], { farmers: ["a", "b"] }), NOW);
  expect(lines.map(({ farmer, mark }) => [farmer, mark])).toEqual([
    ["b", "unknown"],
    ["a", "passed"],
  ]);
  expect(markOfAll(countsOf(lines))).toBe("unknown");
  expect(markOfAll(countsOf([]))).toBe("unknown");
});

test("an old proof says nothing about now", () => {
  expect(mark(audit("passed", NOW - FRESH_SECONDS))).toBe("passed");
  expect(mark(audit("passed", NOW - FRESH_SECONDS - 1))).toBe("unknown");
});

test("a pass of one file does not hide that another one failed", () => {
  expect(mark(audit("passed", NOW, { name: "one" }), audit("failed", NOW - 9, { name: "two" }))).toBe("failed");
  expect(mark(audit("passed", NOW, { name: "two" }), audit("failed", NOW - 9, { name: "two" }))).toBe("passed");
  expect(mark(audit("passed", NOW), audit("failed", NOW - 9, { contract: "another" }))).toBe("failed");
});

test("what decides nothing neither helps nor harms", () => {
  expect(mark(audit("undecided", NOW), audit("passed", NOW - 9))).toBe("passed");
  expect(mark(audit("undecided", NOW))).toBe("unknown");
});

test("auditors and the owner are shown together, the newest first, each with its receipt", () => {
  const epoch = (epoch: number, verdict: VerdictWord) => ({ epoch, at: NOW - 100 * epoch, verdict, reason: null, receipt: verdict === "passed" });
  const followed = [{ contract: "c", farmer: "a", auditor: "x", verdicts: [epoch(1, "passed"), epoch(2, "missed")], standing: null }];
  const [line] = linesOf(history([audit("passed", NOW - 150, { receipt: true })], { followed }), NOW);
  expect(line?.seen.map(({ by, receipt }) => [by, receipt])).toEqual([
    ["x", { farmer: "a", contract: "c", epoch: 1 }],
    [null, { farmer: "a", contract: "c", epoch: null }],
    ["x", undefined],
  ]);
});

test("an auditor that does not answer is named, and a farmer that keeps nothing now counts for nothing", () => {
  const followed = [{ contract: "c", farmer: "a", auditor: "x", verdicts: null, standing: null }];
  const lines = linesOf(history([audit("failed", NOW, { farmer: "gone" })], { followed }), NOW);
  expect(lines.map(({ farmer, keeps, silent }) => [farmer, keeps, silent])).toEqual([
    ["a", true, ["x"]],
    ["gone", false, []],
  ]);
  expect(countsOf(lines)).toEqual({ all: 1, passed: 0, failed: 0, missed: 0, unknown: 1 });
});

test("the worst come first", () => {
  const marks = linesOf(histories.mixed, Math.floor(Date.now() / 1000)).map(({ mark }) => mark);
  expect(marks.slice(0, 5)).toEqual(["failed", "missed", "unknown", "unknown", "passed"]);
});

test("a farmer asked twice passes only if both went well", () => {
  const verdict = (farmer: string, verdict: VerdictWord) => ({ name: "film", farmer, verdict, reason: null, proof_bytes: 0 });
  expect(outcome({ verdicts: [verdict("a", "passed"), verdict("a", "missed"), verdict("b", "passed")] })).toEqual({ passed: 1, all: 2 });
});
