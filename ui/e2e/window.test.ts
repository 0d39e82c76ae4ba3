// The window in its real process, by clicking: first start, offering space, storing, bringing back, losing farmers.

import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Key } from "selenium-webdriver";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { words } from "../src/words";
import { choose, devnet, headless, openWindow, strike, work, type Network, type Person } from "./stage";

const MEGABYTE = 1_000_000;
const home = join(work, "home");
const original = join(work, "Summer at the lake.bin");
const others = Object.entries({ "Accounts.ods": 0.2, "House plans.zip": 24, "Letters 1962.pdf": 3 }).map(([name, megabytes]) => ({ path: join(work, name), megabytes }));
const row = 'tr[data-file="Summer at the lake.bin"]';
const copy = join(work, "back.bin");
const receipt = join(work, "receipt.json");
let network: Network;
let person: Person;

beforeAll(async () => {
  mkdirSync(home);
  network = await devnet(6);
  // Large enough to be still on its way when somebody has looked and clicked.
  writeFileSync(original, randomBytes(500 * MEGABYTE));
  for (const { path, megabytes } of others) writeFileSync(path, randomBytes(megabytes * MEGABYTE));
  person = await openWindow(home, network);
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") await person.show("broken", 1280, 800);
});
afterAll(strike);

async function showBoth(name: string) {
  await person.show(name, 900, 640);
  await person.show(name, 1280, 800);
}

test("the first start offers space and makes a key whose words must be written down", async () => {
  await person.see(words.first.title);
  await showBoth("first-1-welcome");
  await person.click(words.first.choices.both.title);
  await person.click(words.next);

  await person.see(words.space.start);
  await person.press("input[type=range]", Key.HOME, Key.ARROW_RIGHT, Key.ARROW_RIGHT);
  await showBoth("first-2-space");
  await person.click(words.space.start);

  await person.click(words.first.protect.none.title);
  await showBoth("first-3-protect");
  await person.click(words.first.protect.make);

  await person.see(words.first.words.onlyHere);
  expect(await person.texts("ol li")).toHaveLength(24);
  await showBoth("first-4-words");
  await person.click(words.first.words.confirm);
  await person.click(words.first.words.done);
  await person.see(words.files.empty.title);
  await showBoth("files-empty-light");
});

test("the space that was offered is what Share shows", async () => {
  await person.click(words.nav.share);
  await person.see(words.share.accepting);
  await person.see(words.share.of(3_000 * MEGABYTE));
  await showBoth("share-light");
  await person.click(words.nav.network);
  await person.see(words.network.farmers);
  await showBoth("network-light");
  await person.click(words.nav.settings);
  await person.see(words.settings.protection.none.title);
  await showBoth("settings-light");
  await person.click(words.nav.files);
});

test("files are stored with their progress on screen", async () => {
  choose(original, ...others.map(({ path }) => path));
  await person.click(words.files.add);
  await person.see(words.store.takes);
  await showBoth("store-light");
  await person.clickOn("dialog footer button.main");
  await person.gone("dialog");

  await person.find('article[data-state="running"]');
  const seen = new Set<string>();
  while (seen.size < 2) {
    for (const text of await person.texts('article[data-state="running"] .state')) seen.add(text);
    if ((await person.texts('article[data-state="running"]')).length === 0) break;
  }
  const name = basename(original);
  await person.clickOn(`[aria-label="${words.transfers.of(words.transfers.pause, name)}"]`);
  await person.find('article[data-state="paused"]');
  await showBoth("files-paused-light");
  await person.clickOn(`[aria-label="${words.transfers.of(words.transfers.resume, name)}"]`);
  await person.find('article[data-state="running"]');
  await showBoth("files-busy-light");
  expect(seen.size, `progress was seen to move: ${[...seen].join(" ")}`).toBeGreaterThan(1);

  await person.find(row);
  for (const { path } of others) await person.find(`tr[data-file="${basename(path)}"]`);
  await person.gone('article[data-state="running"]');
  await person.click(words.transfers.clear);
  await person.gone("article");
  await showBoth("files-stored-light");
});

test("a transfer that is cancelled stores nothing", async () => {
  const unwanted = join(work, "Unwanted.bin");
  writeFileSync(unwanted, randomBytes(500 * MEGABYTE));
  choose(unwanted);
  await person.click(words.files.add);
  await person.see(words.store.takes);
  await person.clickOn("dialog footer button.main");
  await person.gone("dialog");
  await person.clickOn(`[aria-label="${words.transfers.of(words.transfers.cancel, basename(unwanted))}"]`);
  await person.gone("article");
  expect(await person.texts('tr[data-file="Unwanted.bin"]')).toHaveLength(0);
});

test("a file's details ask its farmers and say how healthy it is", async () => {
  await person.clickOn(`${row} .name button`);
  await person.see(words.details.segments);
  await person.find("dialog .health .good");
  await showBoth("details-light");
  await person.clickOn("dialog header button");
});

test("the file comes back with the same bytes", async () => {
  choose(copy);
  await person.clickOn(`${row} .do button`);
  await person.see(words.transfers.get.done("Summer at the lake.bin"));
  expect(readFileSync(copy).equals(readFileSync(original))).toBe(true);
  await showBoth("files-downloaded-light");
});

test("farmers prove what they keep, and the receipt of it holds until it is changed", async () => {
  await person.click(words.nav.audits);
  await person.see(words.audits.summary.none);
  const farmers = (await person.texts("main details")).length;
  expect(farmers).toBeGreaterThan(0);
  expect(await person.texts("main .passed, main .good"), "nothing is green before it was asked").toHaveLength(0);
  await showBoth("audits-unasked-light");

  await person.click(words.audits.now);
  await person.see(words.audits.summary.all(farmers));
  await person.clickOn("main details summary");
  await showBoth("audits-proved-light");
  choose(receipt);
  await person.clickOn('details[open] [data-verdict="passed"] button');
  await person.see(words.audits.exported);

  await person.click(words.audits.check);
  await person.see(words.receipt.passed);
  await person.see(words.receipt.thisOwner);
  await showBoth("receipt-light");
  await person.clickOn("dialog footer button.main");
  const { receipt: answer, ...rest } = JSON.parse(readFileSync(receipt, "utf8")) as { receipt: string };
  writeFileSync(receipt, JSON.stringify({ ...rest, receipt: answer.slice(0, -1) + (answer.endsWith("0") ? "1" : "0") }));
  await person.click(words.audits.check);
  await person.see(words.receipt.nothing);
  await showBoth("receipt-changed-light");
  await person.clickOn("dialog footer button.main");
});

test("one file alone can be audited, and what was found is there after a restart", async () => {
  await person.click(words.audits.all);
  await person.press("dialog input[type=search]", "Accounts");
  await person.clickOn("dialog li:first-child button");
  await person.gone("dialog");
  await person.see("Accounts.ods");
  await person.click(words.audits.now);
  await person.clickOn("main details summary");
  await person.find('details[open] li[data-verdict="passed"][data-about="Accounts.ods"]');
  await person.click(words.nav.files);
});

test("the same home looks right in the dark after a restart, and is still there", async () => {
  await person.close();
  person = await openWindow(home, network, "dark");
  await person.find("tr[data-file]");
  await showBoth("files-stored-dark");
  await person.click(words.nav.share);
  await person.see(words.share.accepting);
  await showBoth("share-dark");
  await person.click(words.nav.audits);
  await person.find("main .summary[data-mark=passed]");
  await person.clickOn("main details summary");
  await person.find('details[open] [data-verdict="passed"]');
  await showBoth("audits-proved-dark");
  await person.click(words.nav.files);
});

test("without farmers a transfer stops, says why, and can be tried again", async () => {
  for (const { pid } of network.farmers) process.kill(pid, "SIGKILL");
  choose(join(work, "never.bin"));
  await person.clickOn(`${row} .do button`);
  await person.find('article[data-state="failed"]');
  expect(await person.texts('article[data-state="failed"] .failure')).toHaveLength(1);
  await person.see(words.tryAgain);
  await person.find(`${row} .lost`);
  await showBoth("files-failing-dark");
});

test("farmers that are gone give no proof, and nothing of it is green", async () => {
  await person.click(words.nav.audits);
  await person.click(words.audits.now);
  await person.find("main .summary[data-mark=missed]");
  expect(await person.texts("main .summary[data-mark=passed]")).toHaveLength(0);
  await person.clickOn("main details summary");
  await person.find('details[open] [data-verdict="missed"]');
  await showBoth("audits-missed-dark");
  await person.click(words.nav.files);
});

test("a file is removed only after asking", async () => {
  await person.clickOn(`${row} .name button`);
  await person.clickOn("dialog footer button.danger");
  await person.see(words.details.removeTitle);
  await showBoth("remove-dark");
  await person.clickOn("dialog:last-of-type footer button.danger");
  await person.gone(row);
  await person.close();
});

test("a home that a node without a window holds is opened here by one click", async () => {
  const other = join(work, "held");
  const node = await headless(other, network);
  person = await openWindow(other, network);
  await person.see(words.held.title);
  await showBoth("held-light");
  await person.click(words.held.open);
  await person.see(words.first.title);
  expect(node.exitCode).toBe(0);
  await person.close();
});
