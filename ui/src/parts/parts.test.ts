import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { GB } from "../format";
import { words } from "../words";
import Choice from "./Choice.svelte";
import Health from "./Health.svelte";
import SpaceSlider from "./SpaceSlider.svelte";
import Toggle from "./Toggle.svelte";

test("a file nobody was asked about is never shown as good", () => {
  const { container } = render(Health, { health: "unknown" });
  expect(screen.getByText(words.health.unknown.word)).toBeTruthy();
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
