import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["e2e/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    // A step waits for a real network; a failed one makes those after it meaningless.
    bail: 1,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
