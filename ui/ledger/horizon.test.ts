// What the official SDK reads back: accounts, records, pages, streams, and what a submission twice gives.

import { Account, Asset, Claimant, hash as sha256, type Horizon, Keypair, Memo, MuxedAccount, Operation, TransactionBuilder, xdr } from "@stellar/stellar-sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failure, Stage } from "./stage";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.end());

const pay = (to: Keypair, amount = "1") => Operation.payment({ destination: to.publicKey(), asset: Asset.native(), amount });
const balance = async (keys: Keypair) => (await stage.server.loadAccount(keys.publicKey())).balances[0]?.balance;

describe.concurrent("accounts", () => {
  test("a friend has ten thousand lumens and everything else as it begins", async () => {
    const keys = await stage.friend();
    const account = await stage.server.loadAccount(keys.publicKey());
    expect(account.balances).toEqual([{ balance: "10000.0000000", buying_liabilities: "0.0000000", selling_liabilities: "0.0000000", asset_type: "native" }]);
    expect(account.signers).toEqual([{ key: keys.publicKey(), weight: 1, type: "ed25519_public_key" }]);
    expect(account.thresholds).toEqual({ low_threshold: 0, med_threshold: 0, high_threshold: 0 });
    expect(BigInt(account.sequence) >> 32n).toBe(BigInt(account.last_modified_ledger));
    expect([account.subentry_count, account.num_sponsoring, account.num_sponsored]).toEqual([0, 0, 0]);
  });

  test("a friend is not funded twice, and a missing account is missing", async () => {
    const keys = await stage.friend();
    await expect(stage.server.friendbot(keys.publicKey()).call()).rejects.toMatchObject({ response: { status: 400 } });
    await expect(stage.server.loadAccount(Keypair.random().publicKey())).rejects.toMatchObject({ response: { status: 404 } });
  });

  test("options, signers and data are shown as they were set", async () => {
    const [keys, other] = [await stage.friend(), Keypair.random()];
    const preimage = Buffer.from("open");
    await stage.ok(keys, [
      Operation.setOptions({ homeDomain: "hayloft.example", setFlags: 3 as 1, lowThreshold: 1, medThreshold: 2, highThreshold: 3, masterWeight: 9 }),
      Operation.setOptions({ signer: { ed25519PublicKey: other.publicKey(), weight: 2 } }),
      Operation.setOptions({ signer: { sha256Hash: sha256(preimage), weight: 4 } }),
      Operation.manageData({ name: "hay", value: "loft" }),
    ]);
    const account = await stage.server.loadAccount(keys.publicKey());
    expect(account.home_domain).toBe("hayloft.example");
    expect(account.flags).toEqual({ auth_required: true, auth_revocable: true, auth_immutable: false, auth_clawback_enabled: false });
    expect(account.signers.map(({ weight, type }) => [type, weight]).sort()).toEqual([["ed25519_public_key", 2], ["ed25519_public_key", 9], ["sha256_hash", 4]]);
    expect(Buffer.from(account.data_attr.hay ?? "", "base64").toString()).toBe("loft");
    expect(account.subentry_count).toBe(3);
  });
});

describe.concurrent("submitting", () => {
  test("the identical envelope again gives the same answer, successful or failed, and pays once", async () => {
    const [keys, other] = await Promise.all([stage.friend(), stage.friend()]);
    const good = await stage.sign(keys, [pay(other)]);
    const [first, together] = await Promise.all([stage.server.submitTransaction(good), stage.server.submitTransaction(good)]);
    const again = await stage.server.submitTransaction(good);
    expect([together, again]).toEqual([first, first]);
    const bad = await stage.sign(keys, [pay(Keypair.random())]);
    const refusals = [];
    for (let time = 0; time < 2; time++) {
      refusals.push(await stage.server.submitTransaction(bad, { skipMemoRequiredCheck: true }).catch(failure));
    }
    expect(refusals[1]).toEqual(refusals[0]);
    expect(await balance(keys)).toBe("9998.9999800");
    expect(await balance(other)).toBe("10001.0000000");
  });

  test("rubbish is told as malformed", async () => {
    for (const tx of ["", "AAAA", "not base64"]) {
      const answer = await fetch(`${stage.url}/transactions`, { method: "POST", body: new URLSearchParams({ tx }) });
      expect(answer.status).toBe(400);
      expect(answer.headers.get("content-type")).toContain("application/problem+json");
      expect(await answer.json()).toMatchObject({ type: "https://stellar.org/horizon-errors/transaction_malformed", extras: { envelope_xdr: tx } });
    }
  });

  test("a hundred operations are taken and a hundred and one are malformed", async () => {
    const keys = await stage.friend();
    const operations = (count: number) => Array.from({ length: count }, () => Operation.bumpSequence({ bumpTo: "0" }));
    expect((await stage.ok(keys, operations(100))).successful).toBe(true);
    const tx = await stage.sign(keys, operations(100));
    const envelope = tx.toEnvelope();
    envelope.v1().tx().operations().push(...operations(1));
    const answer = await fetch(`${stage.url}/transactions`, { method: "POST", body: new URLSearchParams({ tx: rawXdr(envelope) }) });
    expect(await answer.json()).toMatchObject({ type: "https://stellar.org/horizon-errors/transaction_malformed" });
  });

  test("envelopes of version 0 are taken", async () => {
    const [keys, other] = await Promise.all([stage.friend(), stage.friend()]);
    const v1 = (await stage.sign(keys, [pay(other)], { shape: (b) => b.setTimebounds(0, 0) })).toEnvelope().v1();
    const tx = new xdr.TransactionV0({
      sourceAccountEd25519: v1.tx().sourceAccount().ed25519(),
      fee: v1.tx().fee(),
      seqNum: v1.tx().seqNum(),
      timeBounds: v1.tx().cond().timeBounds(),
      memo: v1.tx().memo(),
      operations: v1.tx().operations(),
      ext: new xdr.TransactionV0Ext(0),
    });
    const envelope = xdr.TransactionEnvelope.envelopeTypeTxV0(new xdr.TransactionV0Envelope({ tx, signatures: v1.signatures() }));
    const answer = await fetch(`${stage.url}/transactions`, { method: "POST", body: new URLSearchParams({ tx: envelope.toXDR("base64") }) });
    expect(await answer.json()).toMatchObject({ successful: true });
  });
});

/** An operation count that the SDK refuses to write: the list's bytes put in by hand. */
function rawXdr(envelope: xdr.TransactionEnvelope): string {
  const operations = envelope.v1().tx().operations();
  const extra = operations.pop();
  if (extra === undefined) throw new Error("no operation");
  const bytes = envelope.toXDR();
  const list = Buffer.concat(operations.map((operation) => operation.toXDR()));
  const at = bytes.indexOf(list);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(operations.length + 1);
  return Buffer.concat([bytes.subarray(0, at - 4), count, list, extra.toXDR(), bytes.subarray(at + list.length)]).toString("base64");
}

describe.concurrent("records", () => {
  test("a transaction is found by its hash, with fee, memo and preconditions", async () => {
    const [keys, other] = await Promise.all([stage.friend(), stage.friend()]);
    const tx = await stage.sign(keys, [pay(other, "2.5")], { fee: "1000", shape: (b) => b.addMemo(Memo.text("for hay")).setTimebounds(0, 4_000_000_000).setLedgerbounds(1, 0) });
    const answer = await stage.server.submitTransaction(tx);
    const record = await stage.server.transactions().transaction(tx.hash().toString("hex")).call();
    expect(record).toMatchObject({
      id: answer.hash,
      successful: true,
      ledger_attr: answer.ledger,
      source_account: keys.publicKey(),
      source_account_sequence: tx.sequence,
      fee_account: keys.publicKey(),
      fee_charged: "100",
      max_fee: "1000",
      operation_count: 1,
      memo_type: "text",
      memo: "for hay",
      envelope_xdr: tx.toXDR(),
      preconditions: { timebounds: { min_time: "0", max_time: "4000000000" }, ledgerbounds: { min_ledger: 1 } },
    });
    for (const list of [stage.server.operations().forTransaction(answer.hash), stage.server.payments().forLedger(answer.ledger), stage.server.payments().forTransaction(answer.hash)]) {
      expect((await list.limit(200).call()).records).toContainEqual(expect.objectContaining({ transaction_hash: answer.hash, amount: "2.5000000" }));
    }
    expect((await stage.server.transactions().forLedger(answer.ledger).limit(200).call()).records.map((each) => each.hash)).toContain(answer.hash);
    const ledger = (await stage.server.ledgers().ledger(answer.ledger).call()) as unknown as Horizon.ServerApi.LedgerRecord;
    expect(record.created_at).toBe(ledger.closed_at);
    expect(ledger.total_coins).toBe("100000000000.0000000");
    const header = xdr.LedgerHeader.fromXDR(ledger.header_xdr, "base64");
    expect(sha256(header.toXDR()).toString("hex")).toBe(ledger.hash);
    expect(header.previousLedgerHash().toString("hex")).toBe(ledger.prev_hash);
  });

  test("a fee bump is found by both hashes", async () => {
    const [keys, payer] = await Promise.all([stage.friend(), stage.friend()]);
    const inner = await stage.sign(keys, [pay(payer)]);
    const bump = TransactionBuilder.buildFeeBumpTransaction(payer, "300", inner, stage.passphrase);
    bump.sign(payer);
    await stage.server.submitTransaction(bump);
    for (const hash of [bump.hash(), inner.hash()]) {
      expect(await stage.server.transactions().transaction(hash.toString("hex")).call()).toMatchObject({
        hash: bump.hash().toString("hex"),
        fee_account: payer.publicKey(),
        fee_charged: "200",
        max_fee: "600",
        inner_transaction: { hash: inner.hash().toString("hex"), max_fee: "100" },
        fee_bump_transaction: { hash: bump.hash().toString("hex") },
      });
    }
    expect(await balance(keys)).toBe("9999.0000000");
    expect(await balance(payer)).toBe("10000.9999800");
  });

  test("payments page forward and back, and tell failed ones only when asked", async () => {
    const [keys, other] = await Promise.all([stage.friend(), stage.friend()]);
    for (const amount of ["1", "2", "3", "4"]) await stage.ok(keys, [pay(other, amount)]);
    await expect(stage.ok(keys, [pay(Keypair.random())])).rejects.toThrow();
    const amounts = (page: { records: { type: string }[] }) => page.records.map((record) => Number((record as { amount?: string }).amount));
    const list = () => stage.server.payments().forAccount(keys.publicKey());
    const newest = await list().order("desc").limit(2).call();
    expect(amounts(newest)).toEqual([4, 3]);
    const older = await newest.next();
    expect(amounts(older).slice(0, 2)).toEqual([2, 1]);
    expect(amounts(await older.prev())).toEqual([3, 4]);
    const failed = await list().includeFailed(true).order("desc").limit(1).call();
    expect(failed.records[0]?.transaction_successful).toBe(false);
    const created = await list().limit(1).call();
    expect(created.records[0]).toMatchObject({ type: "create_account", starting_balance: "10000.0000000", account: keys.publicKey() });
    expect((await stage.server.transactions().forAccount(other.publicKey()).limit(200).call()).records).toHaveLength(5);
    expect((await stage.server.operations().forAccount(other.publicKey()).limit(200).call()).records).toHaveLength(5);
  });

  test("muxed addresses are paid to their account and shown with their number", async () => {
    const [keys, other] = await Promise.all([stage.friend(), stage.friend()]);
    const muxed = new MuxedAccount(new Account(other.publicKey(), "0"), "77");
    await stage.ok(keys, [Operation.payment({ destination: muxed.accountId(), asset: Asset.native(), amount: "1" })]);
    const page = await stage.server.payments().forAccount(other.publicKey()).order("desc").limit(1).call();
    expect(page.records[0]).toMatchObject({ to: other.publicKey(), to_muxed: muxed.accountId(), to_muxed_id: "77" });
    expect(await balance(other)).toBe("10001.0000000");
  });

  test("fees, root and wrong questions", async () => {
    expect(await stage.server.fetchBaseFee()).toBe(100);
    expect((await stage.server.feeStats()).fee_charged.mode).toBe("100");
    const root = await stage.server.root();
    expect(root.network_passphrase).toBe(stage.passphrase);
    for (const [path, status] of [["/nothing", 404], ["/accounts/G", 400], ["/transactions/ab", 400], [`/transactions/${"ab".repeat(32)}`, 404], ["/payments?limit=999", 400], ["/ledgers/9999999", 404], ["/operations/1", 404]] as const) {
      const answer = await fetch(stage.url + path);
      expect([path, answer.status]).toEqual([path, status]);
      expect(await answer.json()).toMatchObject({ status });
    }
  });
});

describe.concurrent("claimable balances", () => {
  const lock = (amount: string, claimants: Claimant[]) => Operation.createClaimableBalance({ asset: Asset.native(), amount, claimants });

  test("are found by claimant, sponsor and name, hold a reserve each, and give it back", async () => {
    const [owner, farmer] = await Promise.all([stage.friend(), stage.friend()]);
    const made = [];
    for (const amount of ["5", "6"]) {
      const tx = await stage.sign(owner, [lock(amount, [new Claimant(farmer.publicKey()), new Claimant(owner.publicKey(), Claimant.predicateNot(Claimant.predicateBeforeRelativeTime("3600")))])]);
      await stage.server.submitTransaction(tx);
      made.push(tx.getClaimableBalanceId(0));
    }
    expect((await stage.server.loadAccount(owner.publicKey())).num_sponsoring).toBe(4);
    const of = () => stage.server.claimableBalances().claimant(farmer.publicKey());
    const first = await of().limit(1).call();
    const second = await first.next();
    expect([first.records[0]?.id, second.records[0]?.id]).toEqual(made);
    expect((await stage.server.claimableBalances().sponsor(owner.publicKey()).order("desc").call()).records.map((record) => record.id)).toEqual([...made].reverse());
    const record = await stage.server.claimableBalances().claimableBalance(made[0] ?? "").call();
    expect(record).toMatchObject({ asset: "native", amount: "5.0000000", sponsor: owner.publicKey() });
    expect(record.claimants[1]?.predicate.not?.abs_before).toBeDefined();
    expect(await stage.codes(await stage.sign(owner, [Operation.claimClaimableBalance({ balanceId: made[0] ?? "" })]))).toMatchObject({ operations: ["op_cannot_claim"] });
    await stage.ok(farmer, [Operation.claimClaimableBalance({ balanceId: made[0] ?? "" })]);
    expect(await balance(farmer)).toBe("10004.9999900");
    expect((await stage.server.loadAccount(owner.publicKey())).num_sponsoring).toBe(2);
    expect((await of().call()).records).toHaveLength(1);
  });

  test("predicates hold from their first second to their last", async () => {
    const [owner, farmer] = await Promise.all([stage.friend(), stage.friend()]);
    const { predicateAnd: and, predicateOr: or, predicateNot: not, predicateBeforeAbsoluteTime: before, predicateUnconditional: always } = Claimant;
    const [past, future] = [before("1"), before("4000000000")];
    const cases: [xdr.ClaimPredicate, boolean][] = [
      [always(), true],
      [future, true],
      [past, false],
      [not(past), true],
      [and(not(past), future), true],
      [and(past, future), false],
      [or(past, future), true],
      [not(or(past, future)), false],
      [Claimant.predicateBeforeRelativeTime("3600"), true],
      [Claimant.predicateBeforeRelativeTime("0"), false],
    ];
    const tx = await stage.sign(owner, cases.map(([predicate]) => lock("1", [new Claimant(farmer.publicKey(), predicate)])));
    await stage.server.submitTransaction(tx);
    for (const [index, [, open]] of cases.entries()) {
      const claim = await stage.sign(farmer, [Operation.claimClaimableBalance({ balanceId: tx.getClaimableBalanceId(index) })]);
      expect([index, (await stage.codes(claim)).transaction]).toEqual([index, open ? "tx_success" : "tx_failed"]);
    }
  });
});

describe.concurrent("signatures", () => {
  test("a pre-authorised transaction is used up even if it fails", async () => {
    const keys = await stage.friend();
    const account = await stage.server.loadAccount(keys.publicKey());
    const allowing = new Account(keys.publicKey(), account.sequence);
    const later = stage.build(new Account(keys.publicKey(), (BigInt(account.sequence) + 1n).toString()), [pay(Keypair.random())]);
    const allow = stage.build(allowing, [Operation.setOptions({ signer: { preAuthTx: later.hash(), weight: 1 } })], { signers: [keys] });
    await stage.server.submitTransaction(allow);
    expect((await stage.server.loadAccount(keys.publicKey())).signers.map((signer) => signer.type)).toContain("preauth_tx");
    expect(await stage.codes(later)).toMatchObject({ transaction: "tx_failed", operations: ["op_no_destination"] });
    const after = await stage.server.loadAccount(keys.publicKey());
    expect([after.signers.length, after.subentry_count]).toEqual([1, 0]);
  });

  test("a preimage opens a hash", async () => {
    const keys = await stage.friend();
    const preimage = Buffer.from("hay");
    await stage.ok(keys, [Operation.setOptions({ signer: { sha256Hash: sha256(preimage), weight: 1 } })]);
    const tx = await stage.sign(keys, [Operation.manageData({ name: "opened", value: "yes" })], { signers: [] });
    tx.signHashX(preimage);
    expect((await stage.codes(tx)).transaction).toBe("tx_success");
  });

  test("two of three are needed and enough, on a key without weight", async () => {
    const [escrow, ...people] = [await stage.friend(), Keypair.random(), Keypair.random(), Keypair.random()];
    const signers = people.map((who) => Operation.setOptions({ signer: { ed25519PublicKey: who.publicKey(), weight: 1 } }));
    await stage.ok(escrow, [...signers, Operation.setOptions({ masterWeight: 0, lowThreshold: 2, medThreshold: 2, highThreshold: 2 })]);
    const spend = async (by: Keypair[]) => (await stage.codes(await stage.sign(escrow, [Operation.manageData({ name: "a", value: "b" })], { signers: by }))).transaction;
    const [a, b, c] = people as [Keypair, Keypair, Keypair];
    expect([await spend([a]), await spend([escrow, a]), await spend([a, c]), await spend([a, b, c])]).toEqual(["tx_bad_auth", "tx_bad_auth", "tx_success", "tx_bad_auth_extra"]);
  });
});

describe.concurrent("streams", () => {
  const until = <T>(open: (heard: (record: T) => void) => () => void, act: () => Promise<unknown>): Promise<T> =>
    new Promise((resolve, reject) => {
      const close = open((record) => {
        close();
        resolve(record);
      });
      act().catch(reject);
    });

  test("tell payments, transactions, operations and ledgers from now on", async () => {
    const [keys, other] = await Promise.all([stage.friend(), stage.friend()]);
    const act = () => stage.ok(keys, [pay(other, "7")]);
    const { server } = stage;
    const onmessage = <T>(heard: (record: T) => void) => ({ onmessage: heard as (record: unknown) => void });
    const payment = until<{ amount: string }>((heard) => server.payments().forAccount(other.publicKey()).cursor((0).toString()).stream(onmessage(heard)), act);
    expect(await payment).toMatchObject({ type: "create_account" });
    const heard = await Promise.all([
      until<object>((heard) => server.payments().forAccount(other.publicKey()).cursor("now").stream(onmessage(heard)), () => opened().then(act)),
      until<object>((heard) => server.transactions().forAccount(other.publicKey()).cursor("now").stream(onmessage(heard)), async () => {}),
      until<object>((heard) => server.operations().forAccount(other.publicKey()).cursor("now").stream(onmessage(heard)), async () => {}),
      until<object>((heard) => server.ledgers().cursor("now").stream(onmessage(heard)), async () => {}),
    ]);
    expect(heard).toMatchObject([{ type: "payment", amount: "7.0000000" }, { successful: true, operation_count: 1 }, { type: "payment", to: other.publicKey() }, { base_fee_in_stroops: 100 }]);
  });

  /** A few ledgers later every stream that was asked for is open. */
  const opened = async () => {
    for (let ledgers = 0; ledgers < 5; ledgers++) await stage.friend();
  };
});
