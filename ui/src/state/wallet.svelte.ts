// What the wallet screen shows. Asking costs the ledger a question or more for each escrow, so it is asked seldom: when the
// screen is opened, now and then while it is looked at, and after everything that was done here.

import { node, type Earning, type SpendingLimits, type Wallet, type WalletEntry } from "../ipc";
import { words } from "../words";
import { attempt, notices, sentence } from "./notices.svelte";

class Purse {
  wallet: Wallet | undefined = $state();
  history: WalletEntry[] = $state([]);
  earnings: Earning[] = $state([]);
  /** When all this was so, in seconds since 1970. */
  seen: number | undefined = $state();
  reading = $state(false);
  funding = $state(false);
  /** Why nothing new could be learnt, as a sentence. */
  trouble: string | undefined = $state();
  #turn = 0;

  /** Asks the ledger again; of several answers the one that was asked for last counts. */
  async look() {
    const turn = ++this.#turn;
    this.reading = true;
    try {
      const [wallet, history, earnings] = await Promise.all([node.wallet(), node.walletHistory(), node.walletEarnings()]);
      if (turn !== this.#turn) return;
      Object.assign(this, { wallet, history, earnings, seen: Math.floor(Date.now() / 1000), trouble: undefined });
    } catch (error) {
      if (turn === this.#turn) this.trouble = sentence(error);
    } finally {
      if (turn === this.#turn) this.reading = false;
    }
  }

  /** Has the account made where lumens are given away. */
  async fund() {
    this.funding = true;
    const wallet = await attempt(() => node.walletFund());
    if (wallet) this.wallet = wallet;
    this.funding = false;
    await this.look();
  }

  /** Sets what may be spent; says whether it went well. */
  async limit(wanted: SpendingLimits): Promise<boolean> {
    const limits = await attempt(() => node.setWalletLimits(wanted));
    if (!limits) return false;
    if (this.wallet) this.wallet = { ...this.wallet, limits };
    return true;
  }

  /** Saves all that happened where the person says. */
  async save() {
    await attempt(async () => {
      const output = await node.pickOutput(words.wallet.history.fileName(Date.now() / 1000));
      if (!output) return;
      await node.walletExport(output);
      notices.news(words.wallet.history.saved);
    });
  }
}

export const purse = new Purse();
