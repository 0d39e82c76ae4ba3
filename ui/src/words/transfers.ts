// Jobs under way and what became of them.

import type { JobState } from "../ipc";
import { bytes, count, duration, speed } from "../format";
import { plural } from "./plural";

export const transfers = {
  title: "Transfers",
  put: { running: (name: string) => `Storing ${name}`, done: (name: string) => `Stored ${name}` },
  get: { running: (name: string) => `Downloading ${name}`, done: (name: string) => `Downloaded ${name}` },
  repair: {
    running: (name: string) => `Repairing ${name || "files"}`,
    done: (name: string) => `Repaired ${name || "files"}`,
  },
  files: (done: number, all: number) => `${count(done)} of ${plural(all, "file", "files")}`,
  progress: (done: number, all: number) => `${bytes(done)} of ${bytes(all)}`,
  speed,
  left: (seconds: number) => `${duration(seconds)} left`,
  pause: "Pause",
  resume: "Resume",
  cancel: "Cancel",
  show: "Show in folder",
  clear: "Clear what is done",
  of: (action: string, name: string) => `${action} ${name}`,
  blamed: (n: number) => `${plural(n, "farmer", "farmers")} sent wrong data and ${n === 1 ? "was" : "were"} passed over.`,
  states: {
    running: "Under way",
    paused: "Paused",
    done: "Done",
    failed: "Stopped",
    cancelled: "Cancelled",
  } satisfies Record<JobState, string>,
  waiting: "Starting…",
};
