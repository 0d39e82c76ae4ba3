import { cleanup, render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import App from "../App.svelte";
import { lumens } from "../format";
import { asked, pretend } from "../mock";
import { exchange, quote, sent, someone, wallets } from "../mock-wallet";
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
  expect(screen.getByText(words.store.total(quote.total_price))).toBeTruthy();
  expect(screen.getByText(words.store.monthly(quote.monthly_price))).toBeTruthy();
  expect(screen.getByText(words.store.lockedHint(quote.reserves, quote.returns ?? 0))).toBeTruthy();
  expect(screen.getByText(words.store.unattendedUntil(quote.paid_until ?? 0))).toBeTruthy();
  expect(screen.queryByText(words.store.tooLittle(quote.locked, wallets.usual.status.free))).toBeNull();
});

test("a price that the wallet cannot bear is said before anything is sent", async () => {
  const user = await open("worn");
  await user.click(await screen.findByText(words.files.add));
  expect(await screen.findByText(words.store.tooLittle(quote.locked, wallets.strained.status.free))).toBeTruthy();
});

test("where nothing has a price, it says so in place of one, and of a wallet", async () => {
  const user = await open("unpriced");
  await user.click(await screen.findByText(words.files.add));
  expect(await screen.findByText(words.store.noPrices)).toBeTruthy();
  await user.click(screen.getByText(words.cancel));
  await user.click(screen.getByText(words.nav.wallet));
  expect(screen.getByText(words.wallet.none.sentence)).toBeTruthy();
  expect(screen.queryByText(words.wallet.send)).toBeNull();
});

async function purse(scene: string) {
  const user = await open(scene);
  await user.click(await screen.findByText(words.nav.wallet));
  return user;
}
const card = async (title: string) => within(await screen.findByLabelText(title));
/** Found by how its label begins: a hint may follow in it. */
const field = (label: string) => screen.getByLabelText((text) => text.trim().startsWith(label));
const button = (text: string) => screen.getByText(text, { selector: "button, button *" }).closest("button") as HTMLButtonElement;

test("a balance is told apart, and the date until which it pays unattended is shown", async () => {
  await purse("full");
  const { status, reserved, safe_until } = wallets.usual;
  for (const amount of [status.free, status.escrow, reserved, 417_333]) expect((await screen.findAllByText(lumens(amount))).length).toBeGreaterThan(0);
  expect(screen.getByText(words.wallet.balance.safe(safe_until ?? 0), { exact: false })).toBeTruthy();
  expect(screen.getByText(status.address)).toBeTruthy();
});

test("the address is shown as a code to scan", async () => {
  const user = await purse("full");
  await user.click(await screen.findByText(words.wallet.receive));
  expect(screen.getByRole("img", { name: words.wallet.receiving.code })).toBeTruthy();
  expect(screen.getAllByText(wallets.usual.status.address)).toHaveLength(2);
});

test("the address is copied by a click, or says how to copy it by hand", async () => {
  const user = await purse("full");
  await user.click(await screen.findByText(words.wallet.receive));
  const write = vi.spyOn(navigator.clipboard, "writeText").mockRejectedValueOnce(new Error("not allowed"));
  await user.click(screen.getByText(words.wallet.receiving.copy));
  expect((await screen.findByRole("alert")).textContent).toBe(words.wallet.receiving.notCopied);
  await user.click(screen.getByText(words.wallet.receiving.copy));
  expect(await screen.findByText(words.wallet.receiving.copied)).toBeTruthy();
  expect(write).toHaveBeenLastCalledWith(wallets.usual.status.address);
  write.mockRestore();
});

test("a new wallet gets its first lumens by one click, and can send nothing before", async () => {
  const user = await purse("empty");
  expect(await screen.findByText(words.wallet.missing.title)).toBeTruthy();
  expect(button(words.wallet.send).disabled).toBe(true);
  for (const nothing of [words.wallet.escrows.none, words.wallet.history.none, words.wallet.next.nothing]) expect(screen.getByText(nothing)).toBeTruthy();
  expect(screen.queryByText(words.wallet.history.save)).toBeNull();
  pretend("funded");
  await user.click(screen.getByText(words.wallet.missing.fund));
  await waitFor(() => expect(screen.queryByText(words.wallet.missing.title)).toBeNull());
  expect(button(words.wallet.send).disabled).toBe(false);
});

async function writePayment(scene: string, to: string, amount: string, memo = "") {
  const user = await purse(scene);
  await screen.findByText(words.wallet.balance.title);
  await user.click(button(words.wallet.send));
  await user.type(field(words.wallet.sending.to), to);
  await user.type(field(words.wallet.sending.amount), amount);
  if (memo) await user.type(field(words.wallet.sending.memo), memo);
  return user;
}
const goOn = () => button(words.next);

test("nothing is sent before the account was seen to exist and the person has confirmed it", async () => {
  const user = await writePayment("full", someone, "12.5", "for hay");
  await user.click(goOn());
  expect(await screen.findByText(words.wallet.sending.sure)).toBeTruthy();
  for (const text of [someone, lumens(125_000_000), "for hay", lumens(100), words.wallet.sending.exists, words.wallet.sending.final]) expect(screen.getByText(text)).toBeTruthy();
  expect(asked("wallet_send")).toEqual([]);
  await user.click(button(words.wallet.sending.go(125_000_000)));
  expect(await screen.findByText(words.wallet.sending.done(125_000_000))).toBeTruthy();
  expect(asked("wallet_send")).toEqual([{ request: { to: someone, amount: 125_000_000, memo: "for hay", from_payout: false } }]);
  expect(document.querySelector("dialog")).toBeNull();
});

test.each([
  ["to nobody", someone.slice(0, -1) + "A", "1", "", words.wallet.sending.missing],
  ["to oneself", wallets.usual.status.address, "1", "", words.wallet.sending.own],
  ["without the memo that is asked for", exchange, "1", "", words.wallet.sending.needsMemo],
  ["of more than there is", someone, "9861.6234567", "", words.wallet.sending.tooLittle(98_616_234_567)],
  ["to what is no address", "hello", "1", "", "That is no address: it begins with G and has 56 letters and digits. Copy it again."],
])("a payment %s is stopped before anybody is asked to confirm it", async (_, to, amount, memo, said) => {
  const user = await writePayment("full", to, amount, memo);
  await user.click(goOn());
  expect((await screen.findByRole("alert")).textContent).toBe(said);
  expect(screen.queryByText(words.wallet.sending.sure)).toBeNull();
});

test("an amount or a memo that is none cannot be sent", async () => {
  const user = await writePayment("full", someone, "1.5x");
  expect(screen.getByText(words.wallet.sending.notAnAmount)).toBeTruthy();
  expect(goOn().disabled).toBe(true);
  await user.clear(field(words.wallet.sending.amount));
  await user.type(field(words.wallet.sending.amount), "0");
  expect(screen.getByText(words.wallet.sending.nothing)).toBeTruthy();
  await user.type(field(words.wallet.sending.amount), ".5");
  expect(goOn().disabled).toBe(false);
  await user.type(field(words.wallet.sending.memo), "ä".repeat(15));
  expect(screen.getByText(words.wallet.sending.memoLong)).toBeTruthy();
  expect(goOn().disabled).toBe(true);
});

test("a payment that came to nothing says why and stays, and one that may yet arrive warns of sending it twice", async () => {
  let user = await writePayment("worn", someone, "0.000001");
  await user.click(goOn());
  await user.click(await screen.findByText(words.wallet.sending.go(10)));
  expect((await within(screen.getByRole("dialog")).findByRole("alert")).textContent).toBe(`${words.wallet.sending.failed} ${sent.failed.reason}`);
  expect(button(words.back)).toBeTruthy();
  cleanup();
  user = await writePayment("busy", someone, "1");
  await user.click(goOn());
  await user.click(await screen.findByText(words.wallet.sending.go(10_000_000)));
  expect(await screen.findByText(words.wallet.sending.underWay(10_000_000))).toBeTruthy();
});

test("the next settlement shows how it is computed", async () => {
  const user = await purse("full");
  const next = await card(words.wallet.next.title);
  expect(next.getByText(words.wallet.next.pay(413_333, words.wallet.escrows.sides.owner("1f0c93ae")), { exact: false })).toBeTruthy();
  await user.click(next.getByText(words.wallet.next.how));
  for (const amount of [16_533_333, 413_333]) expect(next.getByText(lumens(amount))).toBeTruthy();
  expect(next.getByText(/1 proved, 2 to come/)).toBeTruthy();
});

test("what is paid, owed, at risk and locked are told apart, and only what was paid is drawn", async () => {
  await purse("full");
  const earned = await card(words.wallet.earnings.title);
  const said = words.wallet.earnings;
  const value = (name: string) => earned.getByText(name).closest("div")?.querySelector("dd")?.textContent;
  expect([said.paid, said.owed, said.atRisk, said.locked].map(value)).toEqual([60_000_000, 2_100_000, 1_200_000, 35_700_000].map(lumens));
  expect(earned.getByRole("img").getAttribute("aria-label")).toContain(lumens(60_000_000));
});

test("each escrow says what it waits for or what is wrong, and those that are over stay out of the way", async () => {
  const user = await purse("full");
  const escrows = await card(words.wallet.escrows.title);
  const [, worth] = wallets.usual.escrows;
  if (!worth) throw new Error("the samples have two escrows");
  expect(escrows.getByText(words.wallet.escrows.waits.worth(worth))).toBeTruthy();
  expect(document.querySelectorAll("details[data-stage]")).toHaveLength(5);
  await user.click(escrows.getByText(words.wallet.escrows.showOver(1)));
  expect(escrows.getByText(words.wallet.escrows.over)).toBeTruthy();
  cleanup();
  await purse("worn");
  expect(await screen.findByText(/nothing is signed until they agree/)).toBeTruthy();
  expect(screen.getByText(/The test network was wiped/)).toBeTruthy();
});

test("history says what each payment was for, shows more when asked, and is saved as a table", async () => {
  const user = await purse("full");
  const shown = await card(words.wallet.history.title);
  expect(shown.getByText(words.wallet.history.kinds.sent)).toBeTruthy();
  expect(shown.getByText("for the spare disk", { exact: false })).toBeTruthy();
  expect(shown.getByText(words.wallet.history.unknown)).toBeTruthy();
  expect(shown.queryByText(words.wallet.history.kinds.funded)).toBeNull();
  await user.click(shown.getByText(words.wallet.history.more(7)));
  expect(shown.getByText(words.wallet.history.kinds.funded)).toBeTruthy();
  await user.click(shown.getByText(words.wallet.history.save));
  expect(await screen.findByText(words.wallet.history.saved)).toBeTruthy();
  expect(asked("wallet_export")).toEqual([{ output: "/home/mira/receipt.json" }]);
});

test("limits are set in XLM and kept in stroops, and what is no amount is refused", async () => {
  const user = await purse("full");
  await screen.findByText(words.wallet.limits.title);
  const said = words.wallet.limits;
  const save = () => button(words.save);
  expect(save().disabled).toBe(true);
  await user.clear(field(said.perDay));
  await user.type(field(said.inAll), "lots");
  expect(screen.getByText(said.wrong)).toBeTruthy();
  expect(save().disabled).toBe(true);
  await user.clear(field(said.inAll));
  await user.type(field(said.inAll), "100.5");
  await user.click(save());
  expect(await screen.findByText(said.saved)).toBeTruthy();
  expect(asked("set_wallet_limits")).toEqual([{ limits: { per_day: null, in_all: 1_005_000_000, price: 50_000_000 } }]);
});

test("an account that one has already becomes the wallet", async () => {
  const user = await purse("full");
  await user.click(await screen.findByText(words.wallet.importing.open));
  await user.type(field(words.wallet.importing.field), "SSECRET");
  await user.click(button(words.wallet.importing.go));
  expect(await screen.findByText(/Your wallet is now/)).toBeTruthy();
  expect(asked("wallet_import")).toEqual([{ secret: "SSECRET" }]);
});

test("a ledger that does not answer says why and is asked again", async () => {
  const user = await purse("broken");
  expect(await screen.findByText(/The ledger does not answer/)).toBeTruthy();
  pretend("full");
  await user.click(screen.getByText(words.tryAgain));
  expect(await screen.findByText(words.wallet.balance.title)).toBeTruthy();
  expect(screen.queryByText(/The ledger does not answer/)).toBeNull();
});

test("a locked wallet asks for the passphrase", async () => {
  await purse("locked");
  expect(screen.getByText(words.wallet.locked.title)).toBeTruthy();
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
