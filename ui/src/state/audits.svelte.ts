// What the audits screen shows. Kept apart from the screen, so that an audit goes on while another one is looked at.

import { node, type AuditHistory, type ReceiptWish } from "../ipc";
import { words } from "../words";
import { linesOf, outcome } from "./audits";
import { attempt, notices, sentence } from "./notices.svelte";

class Audits {
  /** The file that is shown; none is all of them. */
  name: string | null = $state(null);
  busy = $state(false);
  reading = $state(false);
  /** Why nothing new could be learnt, as a sentence. */
  trouble: string | undefined = $state();
  #history: AuditHistory | undefined = $state();
  #now = $state(0);

  lines = $derived(this.#history && linesOf(this.#history, this.#now));

  /** Shows another file, or all. */
  async show(name: string | null) {
    if (this.name !== name) this.#history = undefined;
    this.name = name;
    await this.look();
  }

  /** Asks what was found so far. */
  async look() {
    const name = this.name;
    this.reading = true;
    try {
      const history = await node.auditHistory(name);
      if (name !== this.name) return;
      this.#history = history;
      this.#now = Math.floor(Date.now() / 1000);
      this.trouble = undefined;
    } catch (error) {
      if (name === this.name) this.trouble = sentence(error);
    } finally {
      if (name === this.name) this.reading = false;
    }
  }

  /** Asks the farmers for proofs, now. */
  async audit() {
    this.busy = true;
    try {
      const { passed, all } = outcome(await node.audit(this.name));
      if (passed < all) notices.warn(words.audits.done(passed, all));
      else notices.news(all === 0 ? words.audits.nothing : words.audits.done(passed, all));
      this.trouble = undefined;
    } catch (error) {
      this.trouble = sentence(error);
    }
    this.busy = false;
    if (this.trouble === undefined) await this.look();
  }

  /** Saves a receipt where the person says. */
  async save(wish: ReceiptWish, at: number) {
    await attempt(async () => {
      const output = await node.pickOutput(words.audits.receiptName(wish.farmer, at));
      if (!output) return;
      await node.auditExport(wish, output);
      notices.news(words.audits.exported);
    });
  }
}

export const audits = new Audits();
