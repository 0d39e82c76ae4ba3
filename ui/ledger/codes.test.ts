// Every result code that the ledger claims is provoked by a transaction of the official SDK.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cases } from "./cases";
import { Stage } from "./stage";

const claims = JSON.parse(readFileSync(join(import.meta.dirname, "../../tests/vectors/ledger-claims.json"), "utf8")) as [string, string][];
let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.end());

test("there is a case for every claim, and no other", () => {
  const words = (pairs: readonly (readonly unknown[])[]) => pairs.map(([at, code]) => `${at} ${code}`).sort();
  expect(words(cases)).toEqual(words(claims));
});

describe.concurrent("the ledger answers", () => {
  test.each(cases)("%s %s", async (at, code, provoke) => {
    const codes = await stage.codes(await provoke(stage));
    if (at === "transaction") {
      expect(codes.transaction).toBe(code);
    } else if (code === "op_success") {
      expect(codes.transaction).toBe("tx_success");
    } else {
      expect(codes.transaction).toBe("tx_failed");
      expect(codes.operations?.filter((word) => word !== "op_success")).toEqual([code]);
    }
  });
});
