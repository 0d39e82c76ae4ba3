// The only door to Rust: commands and events with their generated types, and the window's drag and drop.

import { getCurrentWebview } from "@tauri-apps/api/webview";
import { commands, events, type ApiError } from "./bindings";

export type * from "./bindings";
export { commands as node, events };

export type Drop = { kind: "over" } | { kind: "away" } | { kind: "dropped"; paths: string[] };

/** Tells of files that are dragged over the window; the answer ends it. */
export function onDrop(heard: (drop: Drop) => void): Promise<() => void> {
  return getCurrentWebview().onDragDropEvent(({ payload }) => {
    if (payload.type === "drop") heard({ kind: "dropped", paths: payload.paths });
    else if (payload.type === "leave") heard({ kind: "away" });
    else if (payload.type === "enter") heard({ kind: "over" });
  });
}

export function isApiError(error: unknown): error is ApiError {
  return typeof error === "object" && error !== null && "code" in error && "message" in error;
}
