import { describe, expect, test } from "vitest";
import type { Job } from "../ipc";
import { secondsLeft, shownJobs, withJob } from "./jobs";

const job = (change: Partial<Job>): Job => ({ id: 1, kind: "put", name: "a", state: "running", done_bytes: 50, total_bytes: 100, done_files: 0, total_files: 1, bytes_per_second: 10, message: null, error: null, begun: 100, ...change });

describe("news of a job", () => {
  test("a known job keeps its place and takes the new figures", () => {
    const jobs = [job({ id: 2 }), job({ id: 1 })];
    const after = withJob(jobs, job({ id: 1, done_bytes: 60 }));
    expect(after.map(({ id }) => id)).toEqual([2, 1]);
    expect(after[1]?.done_bytes).toBe(60);
  });

  test("a new job comes first", () => {
    expect(withJob([job({ id: 1 })], job({ id: 2 })).map(({ id }) => id)).toEqual([2, 1]);
  });
});

describe("transfers worth a line", () => {
  const none = new Set<number>();

  test("what is under way, paused or failed is shown however old it is", () => {
    const jobs = (["running", "paused", "failed"] as const).map((state, id) => job({ id, state, begun: 0 }));
    expect(shownJobs(jobs, none, 1000)).toHaveLength(3);
  });

  test("what was done before the window opened is not", () => {
    const jobs = [job({ id: 1, state: "done", begun: 999 }), job({ id: 2, state: "done", begun: 1000 })];
    expect(shownJobs(jobs, none, 1000).map(({ id }) => id)).toEqual([2]);
  });

  test("what was cancelled or dismissed is not", () => {
    const jobs = [job({ id: 1, state: "cancelled" }), job({ id: 2, state: "failed" })];
    expect(shownJobs(jobs, new Set([2]), 0)).toEqual([]);
  });
});

describe("time left", () => {
  test("is what remains at the present speed", () => expect(secondsLeft(job({}))).toBe(5));
  test("is not guessed without a speed, without a beginning or while paused", () => {
    expect(secondsLeft(job({ bytes_per_second: 0 }))).toBeUndefined();
    expect(secondsLeft(job({ done_bytes: 0 }))).toBeUndefined();
    expect(secondsLeft(job({ state: "paused" }))).toBeUndefined();
  });
});
