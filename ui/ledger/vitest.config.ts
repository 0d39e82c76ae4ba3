import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["ledger/**/*.test.ts"],
    environment: "node",
    // Each test waits for ledgers to close, so many can wait together.
    maxConcurrency: 24,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
