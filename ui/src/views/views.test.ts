import { render, screen } from "@testing-library/svelte";
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
