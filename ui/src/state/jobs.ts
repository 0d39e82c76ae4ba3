// Which transfers the window shows, and how they are doing. Pure.

import type { Job } from "../ipc";

/** The job as it is now in its place, or at the front if it is new. */
export function withJob(jobs: Job[], job: Job): Job[] {
  return jobs.some(({ id }) => id === job.id) ? jobs.map((old) => (old.id === job.id ? job : old)) : [job, ...jobs];
}

/** Transfers worth a line: those that are not over, failures, and what was done since the window opened. */
export function shownJobs(jobs: Job[], dismissed: ReadonlySet<number>, opened: number): Job[] {
  return jobs.filter((job) => {
    if (dismissed.has(job.id)) return false;
    if (job.state === "running" || job.state === "paused" || job.state === "failed") return true;
    return job.state === "done" && job.begun >= opened;
  });
}

/** Seconds that are left at the present speed; none while nothing can be said. */
export function secondsLeft(job: Job): number | undefined {
  if (job.state !== "running" || job.bytes_per_second <= 0 || job.done_bytes <= 0) return undefined;
  return Math.max(0, job.total_bytes - job.done_bytes) / job.bytes_per_second;
}
