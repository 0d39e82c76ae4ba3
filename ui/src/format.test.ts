import { expect, test } from "vitest";
import { ago, basename, bytes, duration, short, shown, tenths } from "./format";

test("sizes are decimal, as disks are sold", () => {
  expect(bytes(0)).toBe("0 B");
  expect(bytes(1_500_000)).toBe("1.5 MB");
  expect(bytes(71_400_000_000)).toBe("71 GB");
});

test("a length of time is told in its one most telling unit", () => {
  expect(duration(0.2)).toBe("1 second");
  expect(duration(600)).toBe("10 minutes");
  expect(duration(3 * 86_400)).toBe("3 days");
});

test("the last part of a path is found on every system", () => {
  expect(basename("/home/m/Photos/")).toBe("Photos");
  expect(basename("C:\\Users\\m\\a.txt")).toBe("a.txt");
});

test("an identifier is shortened to eight digits", () => expect(short("0123456789abcdef")).toBe("01234567…"));

test("names cannot turn the line they stand in", () => {
  expect(shown("photo\u202egpj.exe")).toBe("photo\\u{202e}gpj.exe");
  expect(shown("a\nb\u2066c")).toBe("a\\u{a}b\\u{2066}c");
  expect(shown("Grüße 🌾 עברית")).toBe("Grüße 🌾 עברית");
});

test("a share just under a limit never reads as the limit", () => {
  expect(tenths(0.9599)).toMatch(/95[.,]9/);
  expect(tenths(0.96)).toMatch(/^96\s?%$/);
  expect(tenths(1)).toMatch(/^100\s?%$/);
});

test("what was a while ago says so in one unit", () => {
  expect(ago(0)).toBe("this minute");
  expect(ago(7200)).toBe("2 hours ago");
  expect(ago(3 * 86_400)).toBe("3 days ago");
});
