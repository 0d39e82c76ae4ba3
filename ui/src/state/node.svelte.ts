// What the node said last: the one source for every view. News make it ask again; nothing is guessed.

import { events, node, type Event, type FarmSettings, type FarmStatus, type FileEntry, type Job, type Phase, type Status } from "../ipc";
import { shownJobs, withJob } from "./jobs";
import { attempt, notices } from "./notices.svelte";

/** Speeds, peers and free space change without news. */
const LOOK_AGAIN_MS = 4_000;
/** What was seen of a file grows old: the next few are asked for again. */
const ASK_AGAIN_MS = 10 * 60_000;
/** Files whose farmers are asked by themselves after a list was read; more would flood the network. */
const ASK_AT_ONCE = 20;
/** The node's clock and ours may differ by the second that a new job begins in. */
const CLOCK_SLACK_S = 2;

class NodeState {
  phase: Phase = $state({ phase: "opening" });
  status: Status | undefined = $state();
  farm: FarmStatus | undefined = $state();
  files: FileEntry[] = $state([]);
  jobs: Job[] = $state([]);
  closeAsked = $state(false);
  /** Where downloads of this session were saved, by job. */
  outputs: Record<number, string> = $state({});
  /** How many farmers sent wrong data, by finished download. */
  blamed: Record<number, number> = $state({});
  #dismissed: ReadonlySet<number> = $state(new Set());
  #turn = 0;
  #opened = Math.floor(Date.now() / 1000) - CLOCK_SLACK_S;

  ready = $derived(this.phase.phase === "open" && this.status !== undefined && this.farm !== undefined);
  unlocked = $derived(this.status?.owner?.unlocked ?? false);
  /** Neither an owner nor a farmer yet. */
  fresh = $derived(this.ready && !this.status?.owner && !this.status?.farming);
  transfers = $derived(shownJobs(this.jobs, this.#dismissed, this.#opened));

  /** Listens, then asks; the answer ends it. */
  async start(): Promise<() => void> {
    const ends = await Promise.all([
      events.phase.listen(({ payload }) => void this.#enter(payload)),
      events.news.listen(({ payload }) => void this.#hear(payload)),
      events.closeAsked.listen(() => (this.closeAsked = true)),
    ]);
    await attempt(async () => this.#enter(await node.phase()));
    const timer = setInterval(() => {
      if (this.phase.phase === "open" && document.visibilityState === "visible") void this.lookAtStatus();
    }, LOOK_AGAIN_MS);
    const again = setInterval(() => void this.#askAgain(), ASK_AGAIN_MS);
    return () => {
      clearInterval(timer);
      clearInterval(again);
      for (const end of ends) end();
    };
  }

  async lookAtStatus() {
    await attempt(async () => {
      const [status, farm] = await Promise.all([node.status(), node.farmStatus()]);
      this.status = status;
      for (const notice of status.notices) notices.once(notice);
      this.farm = farm;
    });
  }

  async lookAtFiles() {
    if (!this.unlocked) return;
    await attempt(async () => {
      this.files = await node.files();
    });
  }

  async lookAtJobs() {
    if (!this.unlocked) return;
    await attempt(async () => {
      this.jobs = await node.jobs();
    });
  }

  async lookAtAll() {
    await this.lookAtStatus();
    await Promise.all([this.lookAtFiles(), this.lookAtJobs()]);
  }

  /** Offers space with these settings; says whether it went well. */
  async farmSet(settings: FarmSettings): Promise<boolean> {
    const farm = await attempt(() => node.farmSet(settings));
    if (!farm) return false;
    this.farm = farm;
    await this.lookAtStatus();
    return true;
  }

  /** Begins to read everything kept for others again. */
  async farmScrub() {
    const farm = await attempt(() => node.farmScrub());
    if (farm) this.farm = farm;
  }

  /** Begins to leave, or stays after all. */
  async farmLeave(leave: boolean) {
    const farm = await attempt(() => node.farmLeave(leave));
    if (farm) this.farm = farm;
  }

  dismiss(...jobs: number[]) {
    this.#dismissed = new Set([...this.#dismissed, ...jobs]);
  }

  async #enter(phase: Phase) {
    this.phase = phase;
    if (phase.phase === "open") await this.lookAtAll();
    // What was said before the node went away is no longer true.
    else this.status = this.farm = undefined;
  }

  async #askAgain() {
    if (!this.unlocked || !this.status?.peers) return;
    const names = this.files.slice(this.#turn, this.#turn + ASK_AT_ONCE).map(({ name }) => name);
    this.#turn = names.length < ASK_AT_ONCE ? 0 : this.#turn + ASK_AT_ONCE;
    if (names.length > 0) await this.#ask(names);
  }

  async #ask(names: string[]) {
    // Without an answer the file stays as it was last seen, which needs no notice.
    await Promise.allSettled(names.map((name) => node.health(name)));
    await attempt(async () => {
      this.files = await node.files();
    });
  }

  async #hearOfJob(job: Job) {
    this.jobs = withJob(this.jobs, job);
    if (job.kind !== "get") return;
    // A file that did not come back makes what was last seen of all of them doubtful.
    if (job.state === "failed") await this.#ask([job.name, ...this.files.map(({ name }) => name).filter((name) => name !== job.name)].slice(0, ASK_AT_ONCE));
    if (job.state !== "done") return;
    const report = await attempt(() => node.jobReport(job.id));
    if (report?.get) this.blamed[job.id] = report.get.farmers_blamed.length;
  }

  async #hear(news: Event) {
    if (news.event === "job") await this.#hearOfJob(news.body);
    else if (news.event === "files_changed") await this.lookAtFiles();
    else if (news.event === "status_changed") await this.lookAtStatus();
    else notices.warn(news.body);
  }
}

export const loft = new NodeState();
