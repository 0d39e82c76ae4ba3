// What a ledger test stands on: a real `hayloft ledger`, and the official SDK as everybody uses it.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Account, type FeeBumpTransaction, Horizon, Keypair, Operation, type Transaction, TransactionBuilder, xdr } from "@stellar/stellar-sdk";

const built = process.env.HAYLOFT_BUILT ?? join(import.meta.dirname, "../../target/debug");
const CLOSE_EVERY_MS = 100;

/** A folder that is gone when the tests are. */
export function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), "hayloft-ledger-"));
  process.once("exit", () => rmSync(home, { recursive: true, force: true }));
  return home;
}

export type Signed = Transaction | FeeBumpTransaction;
export type Codes = { transaction: string; inner_transaction?: string; operations?: string[] };
export type RawOperation = xdr.Operation;
type Wish = { fee?: string; signers?: Keypair[]; shape?: (builder: TransactionBuilder) => TransactionBuilder };

/** A running ledger; it ends when our end of its pipe closes. */
export class Stage {
  readonly server: Horizon.Server;
  private constructor(
    readonly url: string,
    readonly passphrase: string,
    private readonly child: ChildProcess,
  ) {
    this.server = new Horizon.Server(url, { allowHttp: true });
  }

  /** A ledger in a folder of its own, or in one that an earlier one left. */
  static async start(home = newHome()): Promise<Stage> {
    const words = ["--home", home, "--json", "ledger", "--close-every", String(CLOSE_EVERY_MS), "--until-stdin-closes"];
    const child = spawn(join(built, "hayloft"), words, { stdio: ["pipe", "pipe", "inherit"] });
    for await (const line of createInterface({ input: child.stdout })) {
      const ready = JSON.parse(line) as { ledger: string; passphrase: string };
      return new Stage(ready.ledger, ready.passphrase, child);
    }
    throw new Error("the ledger did not start");
  }

  /** Asks it to end, and waits until it has. */
  async end() {
    const gone = once(this.child, "exit");
    this.child.stdin?.end();
    await gone;
  }

  /** Ends it as a power cut would. */
  async kill() {
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }

  /** A new account with ten thousand lumens. */
  async friend(): Promise<Keypair> {
    const keys = Keypair.random();
    await this.server.friendbot(keys.publicKey()).call();
    return keys;
  }

  /** A new account with this much. */
  async account(startingBalance: string): Promise<Keypair> {
    const keys = Keypair.random();
    await this.ok(await this.friend(), [Operation.createAccount({ destination: keys.publicKey(), startingBalance })]);
    return keys;
  }

  /** A transaction of `source`, signed by it unless others are named. */
  async sign(source: Keypair, operations: RawOperation[], wish: Wish = {}): Promise<Transaction> {
    return this.build(await this.server.loadAccount(source.publicKey()), operations, { signers: [source], ...wish });
  }

  /** The same from an account as the caller knows it. */
  build(source: Account, operations: RawOperation[], wish: Wish = {}): Transaction {
    let builder = new TransactionBuilder(source, { fee: wish.fee ?? "100", networkPassphrase: this.passphrase });
    for (const operation of operations) builder.addOperation(operation);
    builder = (wish.shape ?? ((same) => same.setTimeout(0)))(builder);
    const tx = builder.build();
    for (const signer of wish.signers ?? []) tx.sign(signer);
    return tx;
  }

  /** Submits what must succeed. */
  async ok(source: Keypair, operations: RawOperation[], wish: Wish = {}) {
    return this.server.submitTransaction(await this.sign(source, operations, wish), { skipMemoRequiredCheck: true });
  }

  /** Submits and says with which codes it was answered; the result's XDR must say the same. */
  async codes(tx: Signed): Promise<Codes> {
    try {
      const answer = await this.server.submitTransaction(tx, { skipMemoRequiredCheck: true });
      return success(answer.result_xdr);
    } catch (error) {
      const extras = failure(error);
      if (extras.result_codes === undefined) throw error;
      checkResult(extras.result_xdr, extras.result_codes);
      return extras.result_codes;
    }
  }
}

type Extras = { envelope_xdr: string; result_xdr: string; result_codes: Codes };

/** What a refusal of the SDK carries; anything else is thrown on. */
export function failure(error: unknown): Extras {
  const extras = (error as { response?: { data?: { extras?: Extras } } }).response?.data?.extras;
  if (extras === undefined) throw error;
  return extras;
}

function success(resultXdr: string): Codes {
  const result = xdr.TransactionResult.fromXDR(resultXdr, "base64").result();
  if (result.switch().name === "txFeeBumpInnerSuccess") {
    const inner = result.innerResultPair().result().result();
    return { transaction: "tx_fee_bump_inner_success", inner_transaction: "tx_success", operations: inner.results().map(() => "op_success") };
  }
  if (result.switch().name !== "txSuccess") throw new Error(`accepted with ${result.switch().name}`);
  return { transaction: "tx_success", operations: result.results().map(() => "op_success") };
}

const same = (word: string) => word.replaceAll("_", "").toLowerCase();

function checkResult(resultXdr: string, codes: Codes) {
  const result = xdr.TransactionResult.fromXDR(resultXdr, "base64").result();
  const said = same(codes.transaction).replace("txnosourceaccount", "txnoaccount");
  if (result.switch().name.toLowerCase() !== said) throw new Error(`${result.switch().name} is not ${codes.transaction}`);
  const results = result.switch().name === "txFailed" ? result.results() : [];
  if (results.length !== (codes.inner_transaction ? 0 : (codes.operations?.length ?? 0))) throw new Error("as many results as codes");
}
