// For each result code that the ledger claims, a transaction that provokes it. The first word says where the code is:
// of a transaction, of any operation, or of one kind of operation.

import { Account, Asset, AuthClawbackEnabledFlag, type AuthFlag, Claimant, Keypair, LiquidityPoolAsset, Operation, TransactionBuilder, xdr } from "@stellar/stellar-sdk";
import type { RawOperation, Signed, Stage } from "./stage";

export type Case = [at: string, code: string, provoke: (stage: Stage) => Promise<Signed>];

const nobody = () => Keypair.random().publicKey();
const pay = (destination: string, amount = "1", asset = Asset.native(), source?: string) => Operation.payment({ destination, asset, amount, source });
const note = (name: string, value: string | null = "x") => Operation.manageData({ name, value });
const forever = (...destinations: string[]) => destinations.map((destination) => new Claimant(destination));
const lock = (amount: string, ...destinations: string[]) => Operation.createClaimableBalance({ asset: Asset.native(), amount, claimants: forever(...destinations) });

/** An operation with a value that the SDK would not let through. */
function forged<T extends RawOperation>(operation: T, forge: (operation: T) => void): T {
  forge(operation);
  return operation;
}

/** One transaction with these operations from a new account that has `balance`. */
const from =
  (operations: (own: string, stage: Stage) => RawOperation[] | Promise<RawOperation[]>, balance?: string) =>
  async (stage: Stage): Promise<Signed> => {
    const source = balance === undefined ? await stage.friend() : await stage.account(balance);
    return stage.sign(source, await operations(source.publicKey(), stage));
  };

/** The same after a transaction with other operations succeeded. */
const after =
  (before: (own: string) => RawOperation[], operations: (own: string) => RawOperation[]) =>
  async (stage: Stage): Promise<Signed> => {
    const source = await stage.friend();
    await stage.ok(source, before(source.publicKey()));
    return stage.sign(source, operations(source.publicKey()));
  };

async function bumped(stage: Stage, operations: (own: string) => RawOperation[]): Promise<Signed> {
  const [payer, source] = await Promise.all([stage.friend(), stage.friend()]);
  const inner = await stage.sign(source, operations(source.publicKey()));
  const bump = TransactionBuilder.buildFeeBumpTransaction(payer, "200", inner, stage.passphrase);
  bump.sign(payer);
  return bump;
}

const transactions: Case[] = [
  ["transaction", "tx_success", from((own) => [pay(own)])],
  ["transaction", "tx_failed", from(() => [pay(nobody())])],
  ["transaction", "tx_too_early", async (stage) => stage.sign(await stage.friend(), [note("a")], { shape: (b) => b.setTimebounds(4_000_000_000, 0) })],
  ["transaction", "tx_too_late", async (stage) => stage.sign(await stage.friend(), [note("a")], { shape: (b) => b.setTimebounds(0, 1) })],
  ["transaction", "tx_missing_operation", from(() => [])],
  ["transaction", "tx_bad_seq", async (stage) => {
    const source = await stage.friend();
    return stage.build(new Account(source.publicKey(), "1"), [note("a")], { signers: [source] });
  }],
  ["transaction", "tx_bad_auth", async (stage) => stage.sign(await stage.friend(), [note("a")], { signers: [Keypair.random()] })],
  ["transaction", "tx_insufficient_balance", from((own) => [pay(own)], "1")],
  ["transaction", "tx_no_source_account", async (stage) => {
    const source = Keypair.random();
    return stage.build(new Account(source.publicKey(), "1"), [note("a")], { signers: [source] });
  }],
  ["transaction", "tx_insufficient_fee", async (stage) => stage.sign(await stage.friend(), [note("a")], { fee: "99" })],
  ["transaction", "tx_bad_auth_extra", async (stage) => {
    const source = await stage.friend();
    return stage.sign(source, [note("a")], { signers: [source, Keypair.random()] });
  }],
  ["transaction", "tx_fee_bump_inner_success", (stage) => bumped(stage, (own) => [pay(own)])],
  ["transaction", "tx_fee_bump_inner_failed", (stage) => bumped(stage, () => [pay(nobody())])],
  ["transaction", "tx_bad_minseq_age_or_gap", async (stage) => {
    const source = await stage.friend();
    await stage.ok(source, [note("a")]);
    return stage.sign(source, [note("b")], { shape: (b) => b.setTimeout(0).setMinAccountSequenceAge(100_000) });
  }],
  ["transaction", "tx_malformed", async (stage) => {
    const twice = nobody();
    return stage.sign(await stage.friend(), [note("a")], { shape: (b) => b.setTimeout(0).setExtraSigners([twice, twice]) });
  }],
];

const general: Case[] = [
  ["operation", "op_bad_auth", async (stage) => {
    const [source, other] = await Promise.all([stage.friend(), stage.friend()]);
    return stage.sign(source, [pay(source.publicKey(), "1", Asset.native(), other.publicKey())]);
  }],
  ["operation", "op_no_source_account", async (stage) => {
    const [source, missing] = [await stage.friend(), Keypair.random()];
    const operation = pay(source.publicKey(), "1", Asset.native(), missing.publicKey());
    return stage.sign(source, [operation], { signers: [source, missing] });
  }],
  ["operation", "op_not_supported", from(() => [Operation.changeTrust({ asset: new Asset("HAY", nobody()) })])],
  ["operation", "op_too_many_subentries", async (stage) => {
    const source = await stage.friend();
    for (let hundred = 0; hundred < 10; hundred++) await stage.ok(source, Array.from({ length: 100 }, (_, one) => note(`${hundred} ${one}`)));
    return stage.sign(source, [note("one too many")]);
  }],
];

const createAccount = (destination: string, startingBalance: string) => [Operation.createAccount({ destination, startingBalance })];
const accounts: Case[] = [
  ["create_account", "op_success", from(() => createAccount(nobody(), "1"))],
  ["create_account", "op_malformed", from((own) => createAccount(own, "1"))],
  ["create_account", "op_underfunded", from(() => createAccount(nobody(), "10000"))],
  ["create_account", "op_low_reserve", from(() => createAccount(nobody(), "0.9999999"))],
  ["create_account", "op_already_exists", from(async (_, stage) => createAccount((await stage.friend()).publicKey(), "1"))],
];

const payments: Case[] = [
  ["payment", "op_success", from(async (_, stage) => [pay((await stage.friend()).publicKey())])],
  ["payment", "op_malformed", from((own) => [forged(pay(own), (op) => op.body().paymentOp().amount(new xdr.Int64(0)))])],
  ["payment", "op_underfunded", from(async (_, stage) => [pay((await stage.friend()).publicKey(), "10000")])],
  ["payment", "op_src_no_trust", from(() => {
    const issuer = nobody();
    return [pay(issuer, "1", new Asset("HAY", issuer))];
  })],
  ["payment", "op_no_destination", from(() => [pay(nobody())])],
  ["payment", "op_no_trust", from(async (own, stage) => [pay((await stage.friend()).publicKey(), "1", new Asset("HAY", own))])],
  ["payment", "op_line_full", from(async (_, stage) => [pay((await stage.friend()).publicKey(), "922337203685.4775807")])],
];

const flags = (setFlags: number, clearFlags?: number) => Operation.setOptions({ setFlags: setFlags as AuthFlag, clearFlags: clearFlags as AuthFlag });
const sign = (ed25519PublicKey: string, weight = 1) => Operation.setOptions({ signer: { ed25519PublicKey, weight } });
const options: Case[] = [
  ["set_options", "op_success", from(() => [Operation.setOptions({ homeDomain: "hayloft.example" }), sign(nobody())])],
  ["set_options", "op_low_reserve", from(() => [sign(nobody())], "1.4")],
  ["set_options", "op_too_many_signers", from(() => Array.from({ length: 21 }, () => sign(nobody())))],
  ["set_options", "op_bad_flags", from(() => [flags(1, 1)])],
  ["set_options", "op_invalid_inflation", from(() => [Operation.setOptions({ inflationDest: nobody() })])],
  ["set_options", "op_cant_change", after(() => [flags(4)], () => [flags(1)])],
  ["set_options", "op_unknown_flag", from(() => [flags(16)])],
  ["set_options", "op_threshold_out_of_range", from(() => [forged(Operation.setOptions({ lowThreshold: 1 }), (op) => op.body().setOptionsOp().lowThreshold(256))])],
  ["set_options", "op_bad_signer", from((own) => [sign(own)])],
  ["set_options", "op_invalid_home_domain", from(() => [Operation.setOptions({ homeDomain: "bell\u0007" })])],
  ["set_options", "op_auth_revocable_required", from(() => [flags(AuthClawbackEnabledFlag)])],
];

const merge = (destination: string) => [Operation.accountMerge({ destination })];
const mergeAfter = (before: (own: string) => RawOperation[]) => async (stage: Stage) => {
  const other = (await stage.friend()).publicKey();
  return after(before, () => merge(other))(stage);
};
const merges: Case[] = [
  ["account_merge", "op_success", from(async (_, stage) => merge((await stage.friend()).publicKey()))],
  ["account_merge", "op_malformed", from((own) => merge(own))],
  ["account_merge", "op_no_account", from(() => merge(nobody()))],
  ["account_merge", "op_immutable_set", mergeAfter(() => [flags(4)])],
  ["account_merge", "op_has_sub_entries", mergeAfter(() => [note("a")])],
  ["account_merge", "op_seq_num_too_far", mergeAfter(() => [Operation.bumpSequence({ bumpTo: "9223372036854775800" })])],
  ["account_merge", "op_is_sponsor", mergeAfter(() => [lock("1", nobody())])],
];

const small: Case[] = [
  ["manage_data", "op_success", from(() => [note("a")])],
  ["manage_data", "op_data_name_not_found", from(() => [note("a", null)])],
  ["manage_data", "op_low_reserve", from(() => [note("a")], "1.4")],
  ["manage_data", "op_data_invalid_name", from(() => [note("bell\u0007")])],
  ["bump_sequence", "op_success", from(() => [Operation.bumpSequence({ bumpTo: "1" })])],
  ["bump_sequence", "op_bad_seq", from(() => [Operation.bumpSequence({ bumpTo: "-1" })])],
];

/** Balance ids in the transaction that makes them are known before it is submitted. */
async function locked(stage: Stage, asset: (own: string) => Asset, claimant: string): Promise<string> {
  const source = await stage.friend();
  const create = Operation.createClaimableBalance({ asset: asset(source.publicKey()), amount: "5", claimants: forever(claimant) });
  const tx = await stage.sign(source, [create]);
  await stage.server.submitTransaction(tx, { skipMemoRequiredCheck: true });
  return tx.getClaimableBalanceId(0);
}
const claim = (balanceId: string) => [Operation.claimClaimableBalance({ balanceId })];
const NO_BALANCE = "00".repeat(36);
const balances: Case[] = [
  ["create_claimable_balance", "op_success", from((own) => [lock("1", own)])],
  ["create_claimable_balance", "op_malformed", from((own) => [lock("1", own, own)])],
  ["create_claimable_balance", "op_low_reserve", from((own) => [lock("9998.9999900", own)])],
  ["create_claimable_balance", "op_no_trust", from((own) => [Operation.createClaimableBalance({ asset: new Asset("HAY", nobody()), amount: "1", claimants: forever(own) })])],
  ["create_claimable_balance", "op_underfunded", from((own) => [lock("9999", own)])],
  ["claim_claimable_balance", "op_success", from(async (own, stage) => claim(await locked(stage, Asset.native, own)))],
  ["claim_claimable_balance", "op_does_not_exist", from(() => claim(NO_BALANCE))],
  ["claim_claimable_balance", "op_cannot_claim", from(async (_, stage) => claim(await locked(stage, Asset.native, nobody())))],
  ["claim_claimable_balance", "op_no_trust", from(async (own, stage) => claim(await locked(stage, (issuer) => new Asset("HAY", issuer), own)))],
];

const hay = () => new Asset("HAY", nobody());
const offer = () => ({ selling: Asset.native(), buying: hay(), price: "1" });
const path = () => ({ sendAsset: Asset.native(), destAsset: hay(), destination: nobody() });
const pool = "ab".repeat(32);
const upload = () => xdr.HostFunction.hostFunctionTypeUploadContractWasm(Buffer.from([0]));
const unsupported: [string, () => RawOperation][] = [
  ["path_payment_strict_receive", () => Operation.pathPaymentStrictReceive({ ...path(), sendMax: "1", destAmount: "1" })],
  ["path_payment_strict_send", () => Operation.pathPaymentStrictSend({ ...path(), sendAmount: "1", destMin: "1" })],
  ["manage_sell_offer", () => Operation.manageSellOffer({ ...offer(), amount: "1" })],
  ["manage_buy_offer", () => Operation.manageBuyOffer({ ...offer(), buyAmount: "1" })],
  ["create_passive_sell_offer", () => Operation.createPassiveSellOffer({ ...offer(), amount: "1" })],
  ["change_trust", () => Operation.changeTrust({ asset: new LiquidityPoolAsset(Asset.native(), hay(), 30) })],
  ["allow_trust", () => Operation.allowTrust({ trustor: nobody(), assetCode: "HAY", authorize: 1 })],
  ["inflation", () => Operation.inflation({})],
  ["begin_sponsoring_future_reserves", () => Operation.beginSponsoringFutureReserves({ sponsoredId: nobody() })],
  ["end_sponsoring_future_reserves", () => Operation.endSponsoringFutureReserves({})],
  ["revoke_sponsorship", () => Operation.revokeAccountSponsorship({ account: nobody() })],
  ["clawback", () => Operation.clawback({ asset: hay(), amount: "1", from: nobody() })],
  ["clawback_claimable_balance", () => Operation.clawbackClaimableBalance({ balanceId: NO_BALANCE })],
  ["set_trust_line_flags", () => Operation.setTrustLineFlags({ trustor: nobody(), asset: hay(), flags: { authorized: true } })],
  ["liquidity_pool_deposit", () => Operation.liquidityPoolDeposit({ liquidityPoolId: pool, maxAmountA: "1", maxAmountB: "1", minPrice: "1", maxPrice: "1" })],
  ["liquidity_pool_withdraw", () => Operation.liquidityPoolWithdraw({ liquidityPoolId: pool, amount: "1", minAmountA: "1", minAmountB: "1" })],
  ["invoke_host_function", () => Operation.invokeHostFunction({ func: upload(), auth: [] })],
  ["extend_footprint_ttl", () => Operation.extendFootprintTtl({ extendTo: 1 })],
  ["restore_footprint", () => Operation.restoreFootprint({})],
];

export const cases: Case[] = [
  ...transactions,
  ...general,
  ...accounts,
  ...payments,
  ...options,
  ...merges,
  ...small,
  ...balances,
  ...unsupported.map(([at, operation]): Case => [at, "op_not_supported", from(() => [operation()])]),
];
