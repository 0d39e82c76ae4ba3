import { expect, test } from "vitest";
import { farm } from "../mock";
import { formOf, settingsOf } from "./limits";

test("a form that nobody touched changes nothing", () => {
  const all = { ...farm.settings, upload_limit: 1_500_000, hours: { from_minute: 1350, until_minute: 5 }, operator: "mira", storage_price: 12_345_678 };
  for (const settings of [farm.settings, all]) expect(settingsOf(formOf(settings), settings)).toEqual(settings);
});

test("an empty limit and zero both mean none", () => {
  const form = { ...formOf(farm.settings), upload: "0", download: "" };
  expect(settingsOf(form, farm.settings)).toMatchObject({ upload_limit: null, download_limit: null });
});

test("times may pass midnight", () => {
  const form = { ...formOf(farm.settings), byHours: true, from: "22:30", until: "06:05" };
  expect(settingsOf(form, farm.settings).hours).toEqual({ from_minute: 1350, until_minute: 365 });
});
