import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import jsQR from "jsqr";
import { expect, test, vi } from "vitest";
import { GB } from "../format";
import { words } from "../words";
import Bars from "./Bars.svelte";
import Choice from "./Choice.svelte";
import Gauge from "./Gauge.svelte";
import Health from "./Health.svelte";
import QrCode from "./QrCode.svelte";
import SpaceSlider from "./SpaceSlider.svelte";
import Strip from "./Strip.svelte";
import Toggle from "./Toggle.svelte";

test("a file out of reach is never shown as good", () => {
  const { container } = render(Health, { health: "lost" });
  expect(screen.getByText(words.health.lost.word)).toBeTruthy();
  expect(container.querySelector(".good")).toBeNull();
});

test("the slider ends at the disk's real free space and counts what is used as offered", async () => {
  const { rerender } = render(SpaceSlider, { value: 5 * GB, diskFree: 20.7 * GB, onchange: () => undefined });
  expect(screen.getByRole("slider").getAttribute("max")).toBe("20");
  await rerender({ value: 5 * GB, diskFree: 20.7 * GB, used: 3 * GB, onchange: () => undefined });
  expect(screen.getByRole("slider").getAttribute("max")).toBe("23");
});

test("more than the disk has cannot be typed", async () => {
  const onchange = vi.fn();
  render(SpaceSlider, { value: 5 * GB, diskFree: 20 * GB, onchange });
  const field = screen.getByRole("spinbutton");
  await userEvent.clear(field);
  await userEvent.type(field, "900");
  await userEvent.tab();
  expect(onchange).toHaveBeenLastCalledWith(20 * GB);
});

test("an offer that leaves little for the person says so", () => {
  render(SpaceSlider, { value: 19 * GB, diskFree: 20 * GB, onchange: () => undefined });
  expect(screen.getByText(words.space.tight(GB))).toBeTruthy();
});

test("a full disk gets a way out instead of a slider", () => {
  render(SpaceSlider, { value: 0, diskFree: GB / 2, onchange: () => undefined });
  expect(screen.getByText(words.space.tiny)).toBeTruthy();
  expect(screen.queryByRole("slider")).toBeNull();
});

test("a choice and a toggle tell what was chosen", async () => {
  const chosen = vi.fn();
  const options = [
    { value: "a", title: "First", sentence: "" },
    { value: "b", title: "Second", sentence: "" },
  ];
  render(Choice, { label: "Which", options, value: "a", onchange: chosen });
  await userEvent.click(screen.getByText("Second"));
  expect(chosen).toHaveBeenCalledWith("b");
  render(Toggle, { label: "On", checked: false, onchange: chosen });
  await userEvent.click(screen.getByRole("switch"));
  expect(chosen).toHaveBeenLastCalledWith(true);
});

test("a strip and a gauge say what they show to those who do not see them", () => {
  render(Strip, { label: "Proved, Failed", verdicts: ["passed", "failed"] });
  expect(screen.getByRole("img", { name: "Proved, Failed" }).querySelectorAll("i")).toHaveLength(2);
  render(Gauge, { label: "Keeping data", value: 0.95, limit: 0.96, low: true });
  expect(screen.getByRole("meter", { name: "Keeping data" }).getAttribute("aria-valuenow")).toBe("0.95");
});

test("a code reads back as the text that it was made of", () => {
  const text = "GBV3LZQ6HTXPBV3LZQ6HTXPBV3LZQ6HTXPBV3LZQ6HTXPBV3LZQ6HTXP";
  render(QrCode, { label: "Address", text });
  const code = screen.getByRole("img", { name: "Address" });
  const SCALE = 4;
  const side = SCALE * Number(code.getAttribute("viewBox")?.split(" ")[2]);
  const pixels = new Uint8ClampedArray(4 * side * side).fill(255);
  for (const [, x, y] of code.querySelector("path")?.getAttribute("d")?.matchAll(/M(\d+) (\d+)/g) ?? []) {
    for (let row = 0; row < SCALE; row++) {
      const begin = 4 * ((SCALE * Number(y) + row) * side + SCALE * Number(x));
      pixels.fill(0, begin, begin + 4 * SCALE);
    }
  }
  expect(jsQR(pixels, side, side)?.data).toBe(text);
});

test("bars are as high as what they stand for", () => {
  const bar = (key: number, value: number) => ({ key, value, name: String(key), tip: `${value}` });
  const { container } = render(Bars, { label: "Paid", bars: [bar(1, 5), bar(2, 10), bar(3, 0)], scale: String });
  expect([...container.querySelectorAll<HTMLElement>(".bar")].map(({ style }) => style.height)).toEqual(["50%", "100%", "0%"]);
});
