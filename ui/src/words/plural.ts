import { count } from "../format";

/** A number with the word for what is counted. */
export const plural = (n: number, one: string, many: string) => `${count(n)} ${n === 1 ? one : many}`;
