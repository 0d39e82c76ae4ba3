// A ledger that is killed in the middle of its work: what it answered is there, and its books are whole.

import { Asset, Claimant, hash as sha256, type Horizon, Keypair, Operation, xdr } from "@stellar/stellar-sdk";
import { expect, test } from "vitest";
import { newHome, Stage } from "./stage";

const STROOPS = 10_000_000n;
const stroops = (amount: string) => BigInt(amount.replace(".", ""));

test("what was answered survives kill -9, and lumens and hash chain stay whole", async () => {
  const home = newHome();
  const answered: string[] = [];
  const passphrases = new Set<string>();
  for (let life = 0; life < 3; life++) {
    const stage = await Stage.start(home);
    passphrases.add(stage.passphrase);
    const before = answered.length;
    let alive = true;
    const people = Array.from({ length: 8 }, async () => {
      // Whoever is asking when the ledger dies gets an error, which is no answer.
      while (alive) await pay(stage).then((hash) => answered.push(hash)).catch(() => undefined);
    });
    while (answered.length < before + 20) await stage.friend();
    await stage.kill();
    alive = false;
    await Promise.all(people);
  }
  const stage = await Stage.start(home);
  for (const hash of answered) expect((await stage.server.transactions().transaction(hash).call()).successful).toBe(true);
  await checkChain(stage);
  await checkLumens(stage);
  expect(passphrases).toEqual(new Set([stage.passphrase]));
  await stage.end();
});

async function pay(stage: Stage): Promise<string> {
  const one = await stage.friend();
  const lock = Operation.createClaimableBalance({ asset: Asset.native(), amount: "3", claimants: [new Claimant(Keypair.random().publicKey())] });
  return (await stage.ok(one, [lock, Operation.createAccount({ destination: Keypair.random().publicKey(), startingBalance: "2" })])).hash;
}

async function all<T extends Horizon.HorizonApi.BaseResponse>(first: Promise<Horizon.ServerApi.CollectionPage<T>>): Promise<T[]> {
  const records = [];
  for (let page = await first; page.records.length > 0; page = await page.next()) records.push(...page.records);
  return records;
}

async function checkChain(stage: Stage) {
  const ledgers = await all(stage.server.ledgers().limit(200).call());
  let previous = "00".repeat(32);
  for (const [index, ledger] of ledgers.entries()) {
    const header = xdr.LedgerHeader.fromXDR(ledger.header_xdr, "base64");
    expect([header.ledgerSeq(), header.previousLedgerHash().toString("hex")]).toEqual([index + 1, previous]);
    expect(sha256(header.toXDR()).toString("hex")).toBe(ledger.hash);
    previous = ledger.hash;
  }
}

async function checkLumens(stage: Stage) {
  const payments = await all(stage.server.payments().limit(200).call());
  const accounts = new Set(payments.flatMap((record) => (record.type === "create_account" ? [(record as { account: string }).account, (record as { funder: string }).funder] : [])));
  let sum = 0n;
  for (const account of accounts) sum += stroops((await stage.server.loadAccount(account)).balances[0]?.balance ?? "0");
  for (const balance of await all(stage.server.claimableBalances().limit(200).call())) sum += stroops(balance.amount);
  const newest = await stage.server.ledgers().order("desc").limit(1).call();
  // The ledger goes on closing, but without transactions the fee pool stays.
  sum += stroops(newest.records[0]?.fee_pool ?? "0");
  expect(sum).toBe(100_000_000_000n * STROOPS);
}
