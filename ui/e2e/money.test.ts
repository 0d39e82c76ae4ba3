// Money in the window, in its real process, on a network whose farmers have a price: a wallet that funds itself, a price before
// the upload, an escrow, a settlement, a payment by hand, a limit; and what a farmer earned.

import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Keypair } from "@stellar/stellar-sdk";
import { Key } from "selenium-webdriver";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { words } from "../src/words";
import { choose, devnet, openWindow, strike, told, work, type Network, type Person } from "./stage";

const said = words.wallet;
const home = join(work, "home");
const original = join(work, "Summer at the lake.bin");
const csv = join(work, "wallet.csv");
const FILE_BYTES = 40_000_000;
/** XLM for a TB-month: an epoch of these seconds owes some ten thousand stroops for a shard of that file. */
const prices = { price: 34_560_000, epoch: 5 };
/** A period of three epochs, its audits and the ledger; the wallet is asked again meanwhile. */
const PATIENCE_MS = 170_000;
const escrow = 'details[data-role="owner"][data-stage="standing"]';
let network: Network;
let person: Person;

beforeAll(async () => {
  mkdirSync(home);
  network = await devnet(3, prices);
  writeFileSync(original, randomBytes(FILE_BYTES));
  person = await openWindow(home, network);
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") await person.show("money-broken", 1280, 800);
});
afterAll(strike);

async function showBoth(name: string) {
  await person.show(name, 900, 640);
  await person.show(name, 1280, 800);
}

/** Asks the ledger again and again until something is shown. */
async function lookUntil(css: string) {
  const shown = async () => {
    if ((await person.texts(css)).length > 0) return true;
    await person.click(said.again);
    return false;
  };
  await person.web.wait(shown, PATIENCE_MS, `${css} was never shown`);
}

async function write(to: string, amount: string) {
  await person.clickOn("main header button.main");
  await person.press("dialog label:nth-of-type(1) input", to);
  await person.press("dialog label:nth-of-type(2) input", amount);
  await person.clickOn("dialog footer button.main");
}

test("a new wallet funds itself", async () => {
  await person.click(words.first.choices.store.title);
  await person.click(words.next);
  await person.click(words.first.protect.none.title);
  await person.click(words.first.protect.make);
  await person.see(words.first.words.onlyHere);
  await person.click(words.first.words.confirm);
  await person.click(words.first.words.done);
  await person.click(words.nav.wallet);
  await lookUntil('section[data-exists="true"]');
  await lookUntil('tr[data-kind="funded"]');
  await showBoth("wallet-new-light");

  await person.click(said.receive);
  await person.find(`[aria-label="${said.receiving.code}"]`);
  await showBoth("wallet-receive-light");
  await person.clickOn("dialog header button");
});

test("the price is shown before anything is stored", async () => {
  await person.click(words.nav.files);
  choose(original);
  await person.click(words.files.add);
  const price = await person.find("dialog dd[data-price]");
  expect(Number(await price.getAttribute("data-price"))).toBeGreaterThan(0);
  await person.see(words.store.locked);
  await person.see(words.store.unattended);
  await showBoth("store-priced-light");
  await person.clickOn("dialog footer button.main");
  await person.find(`tr[data-file="${basename(original)}"]`);
});

test("an escrow is listed for each farmer that keeps the file", async () => {
  await person.click(words.nav.wallet);
  await lookUntil(escrow);
  await lookUntil('tr[data-kind="escrow"]');
  await person.clickOn(`${escrow} summary`);
  await showBoth("wallet-escrow-light");
});

test("after a settlement what was paid is shown, and how the next one is computed", async () => {
  await lookUntil(`${escrow}:not([data-paid="0"])`);
  await person.clickOn(`section[aria-label="${said.next.title}"] summary`);
  await person.see(said.next.pays);
  await showBoth("wallet-settled-light");
});

test("lumens are sent only to an account that exists, and only when that was confirmed", async () => {
  await write(Keypair.random().publicKey(), "1");
  await person.see(said.sending.missing);
  await person.clickOn("dialog header button");

  const [farmer] = network.farmers;
  if (!farmer) throw new Error("there is no farmer");
  await write(told<{ address: string }>(farmer.home, "wallet", "status").address, "12.5");
  await person.see(said.sending.sure);
  expect(await person.texts('tr[data-kind="sent"]')).toHaveLength(0);
  await showBoth("wallet-confirm-light");
  await person.clickOn("dialog footer button.main");
  await person.gone("dialog");
  await lookUntil('tr[data-kind="sent"]');
});

test("the history is saved as a table", async () => {
  choose(csv);
  await person.click(said.history.save);
  await person.see(said.history.saved);
  const [head, ...rows] = readFileSync(csv, "utf8").trimEnd().split("\r\n");
  expect(head).toBe("time,kind,lumens,with,memo,transaction");
  expect(rows.some((row) => row.includes(",sent,-12.5000000,"))).toBe(true);
});

test("a limit that was set here stops the next payment in the node", async () => {
  await person.press("form label:nth-of-type(1) input", "0", Key.ENTER);
  await person.see(said.limits.saved);
  const [farmer] = network.farmers;
  if (!farmer) throw new Error("there is no farmer");
  await write(told<{ address: string }>(farmer.home, "wallet", "status").address, "1");
  await person.see(said.sending.sure);
  await person.clickOn("dialog footer button.main");
  await person.find("dialog .trouble");
  await showBoth("wallet-limited-light");
  await person.clickOn("dialog header button");
  await person.close();
});

test("a farmer sees what it was paid, told apart from what it may yet get", async () => {
  const farmers = network.farmers.filter(({ home }) => told<{ earned: number }>(home, "wallet", "status").earned > 0);
  const [paid] = farmers;
  if (!paid) throw new Error("no farmer was paid");
  person = await openWindow(paid.home, network, "dark");
  await person.click(words.held.open);
  await person.click(words.nav.wallet);
  await person.find(`section[aria-label="${said.earnings.title}"] .chart`);
  await showBoth("wallet-farmer-dark");
  await person.close();
});
