import { expect, test } from "vitest";
import { files } from "../mock";
import { ONE_BY_ONE, requests, taken, type Wish } from "./store";

const wish = (paths: string[]): Wish => ({ paths, keep: "months3", renew: true, replace: false, preset: "standard" });

test("a few files become a transfer each, so that each can be paused by itself", () => {
  expect(requests(wish(["/a", "/b"])).map(({ paths }) => paths)).toEqual([["/a"], ["/b"]]);
});

test("many files become one transfer", () => {
  const many = Array.from({ length: ONE_BY_ONE + 1 }, (_, i) => `/f${i}`);
  expect(requests(wish(many)).map(({ paths }) => paths)).toEqual([many]);
});

test("names that are stored already are found by the last part of the path", () => {
  expect(taken(["/home/m/accounts.ods", "/home/m/new.txt"], files)).toEqual(["accounts.ods"]);
});
