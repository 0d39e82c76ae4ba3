// Pretended audits for `mock.ts`: twelve farmers, two auditors, and each way in which an audit can end.

import type { AuditHistory, AuditReport, EpochVerdict, FarmerStanding, OwnAudit, ReceiptShown, ScoreLine, VerdictWord } from "./ipc";

const NOW = Math.floor(Date.now() / 1000);
const HOUR = 3600;
const DAY = 24 * HOUR;
const hex = (start: string) => start.repeat(8).slice(0, 64);

const farmers = ["1f0c93ae", "2b7ad610", "3e55f0c8", "4a90b1d2", "5c3e7f19", "61d8a0b4", "7be2c533", "8804fd6e", "9a17be20", "ad41c6f7", "b6f3e901", "c20d58ba"].map(hex);
const auditor = hex("e81b07d4");
const reasons: Record<VerdictWord, string | null> = {
  passed: null,
  failed: "The farmer’s proof does not fit what was asked for: pieces are lost or changed. Of 24 pieces asked for one by one, 3 are lost.",
  missed: "The farmer did not answer.",
  undecided: "The auditor was away.",
};

const score = (change: Partial<ScoreLine> & Pick<ScoreLine, "score">): ScoreLine => ({ value: 1, limit: null, rule: "", fell: null, because: null, restored_by: null, ...change });
const rules = {
  audits: "Under 96 % a farmer is given nothing new until it has recovered. Under 60 %, a day or more after it was told, its pieces count as lost.",
  availability: "Under 60 % a farmer is given nothing new until it has recovered.",
  service: "It only decides who is asked first.",
};
const standing = (change: Partial<FarmerStanding> = {}): FarmerStanding => ({
  auditor,
  standing: "good",
  since: null,
  notice_until: null,
  online_since: NOW - 12 * DAY,
  passed: 37,
  contracts: 2,
  scores: [
    score({ score: "audits", value: null, limit: 0.96, rule: rules.audits }),
    score({ score: "availability", value: 0.974, limit: 0.6, rule: rules.availability, fell: NOW - 12 * DAY, because: "The farmer did not answer an audit in time." }),
    score({ score: "service", value: null, rule: rules.service }),
  ],
  ...change,
});

/** A computer in good standing, one with a fallen score, and one whose pieces count as lost. */
export const standings = {
  good: [standing()],
  suspended: [
    standing({
      standing: "suspended",
      since: NOW - 5 * HOUR,
      notice_until: NOW + 19 * HOUR,
      scores: [
        score({ score: "audits", value: 0.947, limit: 0.96, rule: rules.audits, fell: NOW - 5 * HOUR, because: "An audit failed: the proof was wrong, or did not come for too long.", restored_by: "44 audits passed in a row restore it." }),
        score({ score: "availability", value: 0.931, limit: 0.6, rule: rules.availability, fell: NOW - 3 * DAY, because: "The farmer did not answer an audit in time." }),
        score({ score: "service", value: 1, rule: rules.service }),
      ],
    }),
  ],
  disqualified: [
    standing({
      standing: "disqualified",
      since: NOW - 2 * DAY,
      online_since: null,
      scores: [
        score({ score: "audits", value: 0.41, limit: 0.96, rule: rules.audits, fell: NOW - 2 * DAY, because: "An audit failed: the proof was wrong, or did not come for too long." }),
        score({ score: "availability", value: 0.52, limit: 0.6, rule: rules.availability, fell: NOW - 9 * HOUR, because: "The farmer did not answer an audit in time." }),
        score({ score: "service", value: null, rule: rules.service }),
      ],
    }),
  ],
};

const epochs = (newest: VerdictWord[]): EpochVerdict[] =>
  Array.from({ length: 16 }, (_, day) => {
    const verdict = newest[day] ?? "passed";
    return { epoch: 40 - day, at: NOW - day * DAY - 5 * HOUR, verdict, reason: reasons[verdict], receipt: verdict === "passed" || verdict === "failed" };
  });

const followed = (newest: (farmer: number) => VerdictWord[]): AuditHistory["followed"] =>
  farmers.slice(0, 11).map((farmer, i) => ({ contract: hex(`c0${i}`), farmer, auditor, verdicts: epochs(newest(i)), standing: standing() }));

const own = (name: string | null, verdicts: VerdictWord[]): OwnAudit[] =>
  verdicts.map((verdict, i) => ({ name, at: NOW - 2 * HOUR, farmer: farmers[i] as string, contract: hex(`c0${i}`), verdict, reason: reasons[verdict], receipt: verdict === "passed" || verdict === "failed" }));

const passes: VerdictWord[] = Array.from({ length: 12 }, () => "passed");

export const histories: Record<"mixed" | "fine" | "unasked", AuditHistory> = {
  mixed: {
    farmers,
    own: own("Photos/wedding.mp4", ["passed", "passed", "failed", "passed", "passed", "passed", "missed"]),
    followed: followed((i) => (i === 2 ? ["failed"] : i === 6 ? ["missed", "missed"] : i === 4 ? ["undecided", "passed", "missed"] : [])).map((one, i) => (i === 9 ? { ...one, verdicts: null, standing: null } : one)),
  },
  fine: { farmers, own: own(null, passes), followed: followed(() => []) },
  unasked: { farmers, own: [], followed: farmers.map((farmer, i) => ({ contract: hex(`c0${i}`), farmer, auditor, verdicts: [], standing: null })) },
};

export const report: AuditReport = {
  verdicts: farmers.map((farmer, i) => ({ name: null, farmer, verdict: i === 2 ? "failed" : "passed", reason: i === 2 ? reasons.failed : null, proof_bytes: 192 })),
};

export const receipt: ReceiptShown = {
  verdict: "passed",
  reason: null,
  farmer: farmers[0] as string,
  owner: hex("a7f0e613"),
  contract: hex("c00"),
  revision: 12,
  epoch: 40,
  asked: [NOW - DAY, NOW],
  publicly_random: false,
  stands_for_epoch: true,
};
