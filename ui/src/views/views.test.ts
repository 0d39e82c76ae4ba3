import { cleanup, render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import App from "../App.svelte";
import { pretend } from "../mock";
import { words } from "../words";

async function open(scene: string) {
  pretend(scene);
  render(App);
  return userEvent.setup();
}

test("the first start shows the words once and goes on only when they were written down", async () => {
  const user = await open("first");
  await user.click(await screen.findByText(words.first.choices.store.title));
  await user.click(screen.getByText(words.next));
  const make = screen.getByText<HTMLButtonElement>(words.first.protect.make);
  expect(make.closest("button")?.disabled).toBe(true);
  await user.type(screen.getByLabelText(words.first.protect.field), "correct horse");
  await user.type(screen.getByLabelText(words.first.protect.repeat), "correct hors");
  expect(screen.getByText(words.first.protect.mismatch)).toBeTruthy();
  await user.type(screen.getByLabelText(words.first.protect.repeat), "e");
  await user.click(make);
  expect(await screen.findByText("abandon")).toBeTruthy();
  expect(document.querySelectorAll("ol li")).toHaveLength(24);
  expect(screen.getByText(words.first.words.onlyHere)).toBeTruthy();
  const done = screen.getByText(words.first.words.done).closest("button");
  expect(done?.disabled).toBe(true);
  await user.click(screen.getByLabelText(words.first.words.confirm));
  expect(done?.disabled).toBe(false);
});

test("a home that another process holds can be opened here instead", async () => {
  await open("held");
  expect(await screen.findByText(words.held.open)).toBeTruthy();
});

test("a home that cannot be opened says why and offers another try", async () => {
  await open("failed");
  expect(await screen.findByText(/written by a newer Hayloft/)).toBeTruthy();
  expect(screen.getByText(words.tryAgain)).toBeTruthy();
});

test("a transfer that stopped says why and can be tried again", async () => {
  await open("busy");
  expect(await screen.findByText(/Only 2 farmers answered/)).toBeTruthy();
  expect(screen.getByText(words.tryAgain)).toBeTruthy();
  expect(screen.getByLabelText(words.transfers.of(words.transfers.pause, "family archive.tar"))).toBeTruthy();
});

test("locked files ask for the passphrase", async () => {
  await open("locked");
  expect(await screen.findByText(words.files.locked.title)).toBeTruthy();
});

test("what storing takes is shown before anything is sent", async () => {
  const user = await open("full");
  await user.click(await screen.findByText(words.files.add));
  expect(await screen.findByText(words.store.any(4, 12))).toBeTruthy();
  expect(screen.getByText(words.store.free)).toBeTruthy();
});

async function audits(scene: string) {
  const user = await open(scene);
  await user.click(await screen.findByText(words.nav.audits));
  return user;
}

test("nothing is green before anybody was asked", async () => {
  await audits("unasked");
  expect(await screen.findByText(words.audits.summary.none)).toBeTruthy();
  expect(document.querySelector("main .good, main .passed")).toBeNull();
});

test("each verdict is shown with its reason, and its receipt can be saved", async () => {
  const user = await audits("full");
  expect(await screen.findByText(words.audits.summary.passed(8, 12))).toBeTruthy();
  const farmer = document.querySelector("details");
  if (!farmer) throw new Error("no farmer is shown");
  await user.click(farmer.querySelector("summary") as HTMLElement);
  const failed = farmer.querySelector('[data-verdict="failed"]');
  expect(failed?.textContent).toMatch(/pieces are lost or changed/);
  await user.click(failed?.querySelector("button") as HTMLElement);
  expect(await screen.findByText(words.audits.exported)).toBeTruthy();
});

test("an audit says how it went", async () => {
  const user = await audits("fine");
  expect(await screen.findByText(words.audits.summary.all(12))).toBeTruthy();
  await user.click(screen.getByText(words.audits.now));
  expect(await screen.findByText(words.audits.done(11, 12))).toBeTruthy();
});

test("while farmers are asked it says so, and nobody can ask twice", async () => {
  const user = await audits("busy");
  await user.click(await screen.findByText(words.audits.now));
  expect(await screen.findByText(words.audits.busy)).toBeTruthy();
  expect(screen.getByText<HTMLButtonElement>(words.audits.now).closest("button")?.disabled).toBe(true);
});

test("what could not be asked says why and offers another try", async () => {
  await audits("broken");
  expect(await screen.findByText(/The store is busy/)).toBeTruthy();
  expect(screen.getByText(words.tryAgain)).toBeTruthy();
});

test("a receipt that holds says what it shows, and one that does not says why", async () => {
  let user = await audits("full");
  await user.click(screen.getByText(words.audits.check));
  expect(await screen.findByText(words.receipt.passed)).toBeTruthy();
  expect(screen.getByText(words.receipt.drawn)).toBeTruthy();
  cleanup();
  user = await audits("broken");
  await user.click(screen.getByText(words.audits.check));
  expect(await screen.findByText(words.receipt.nothing)).toBeTruthy();
  expect(screen.getByText(/signature under the answer/)).toBeTruthy();
});

test("a farmer sees each score with its rule, why it fell and what restores it, before anything worse", async () => {
  const user = await open("worn");
  await user.click(await screen.findByText(words.nav.share));
  expect(await screen.findByText(words.standing.words.suspended.word)).toBeTruthy();
  expect(screen.getByText(/Nothing worse happens before/)).toBeTruthy();
  expect(screen.getByText(/44 audits passed in a row/)).toBeTruthy();
  expect(screen.getByText(/An audit failed/)).toBeTruthy();
  expect(screen.getByText(/Under 96 %/)).toBeTruthy();
});

test("a farmer without evidence is not said to be good", async () => {
  const user = await open("unasked");
  await user.click(await screen.findByText(words.nav.share));
  expect(await screen.findByText(words.standing.none)).toBeTruthy();
});

test("a dialog that closes gives the focus back to what opened it", async () => {
  const user = await audits("full");
  const opener = (await screen.findByText(words.audits.all)).closest("button") as HTMLElement;
  await user.click(opener);
  await user.click(await screen.findByText("accounts.ods"));
  expect(opener.textContent).toContain("accounts.ods");
  expect(document.activeElement).toBe(opener);
});
