// What the person is told once: errors with their way out, and good news.

import { isApiError } from "../ipc";
import { words } from "../words";

export type Notice = { id: number; kind: "error" | "news"; text: string };

/** Good news goes by itself; an error stays until it is dismissed. */
const NEWS_MS = 6_000;
const MOST = 4;

class Notices {
  list: Notice[] = $state([]);
  #next = 0;
  #said = new Set<string>();

  news(text: string) {
    const id = this.#add("news", text);
    setTimeout(() => this.dismiss(id), NEWS_MS);
  }

  error(error: unknown) {
    this.warn(sentence(error));
  }

  /** What a person should know and perhaps do something about. */
  warn(text: string) {
    if (!this.list.some((notice) => notice.text === text)) this.#add("error", text);
  }

  /** What a person should know, said once and left until it is dismissed. */
  once(text: string) {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.warn(text);
  }

  dismiss(id: number) {
    this.list = this.list.filter((notice) => notice.id !== id);
  }

  #add(kind: Notice["kind"], text: string): number {
    const id = this.#next++;
    this.list = [...this.list, { id, kind, text }].slice(-MOST);
    return id;
  }
}

export const notices = new Notices();

/** The sentence of an error: the node's own where there is one. */
export function sentence(error: unknown): string {
  if (isApiError(error)) return error.message;
  return words.unexpected(error instanceof Error ? error.message : String(error));
}

/** Does it, and tells the person if it fails; then there is no answer. */
export async function attempt<T>(doing: () => Promise<T>): Promise<T | undefined> {
  try {
    return await doing();
  } catch (error) {
    notices.error(error);
    return undefined;
  }
}
