// Sending lumens, and what stands in the way of it.

import { lumens } from "../format";

export const sending = {
  title: "Send lumens",
  to: "To",
  toHint: "An address begins with G and has 56 letters and digits.",
  amount: "Amount, XLM",
  sum: "Amount",
  notAnAmount: "Write an amount like 12.5, with up to seven digits behind the point.",
  nothing: "Nothing would be sent.",
  memo: "Memo",
  memoHint: "Only if you were asked for one. Everybody can read it.",
  memoLong: "At most 28 letters; some count as two or more.",
  from: "From",
  wallet: (free: number) => `Wallet: ${lumens(free)} free`,
  payout: (free: number) => `Account that farming is paid to: ${lumens(free)} free`,
  tooLittle: (free: number) => `Only ${lumens(free)} are free there, and the fee is taken besides.`,
  own: "This is the address that it would come from.",
  needsMemo: "Whoever has this account takes payments only with a memo. Ask for it, and add it.",
  checking: "Asking the ledger whether that account exists…",
  missing: "No account has this address. Compare every letter; if it is right, its owner has to open the account first.",
  sure: "Send this?",
  exists: "This account exists.",
  fee: "Fee",
  noMemo: "none",
  final: "A payment cannot be taken back.",
  go: (stroops: number) => `Send ${lumens(stroops)}`,
  busy: "Sending…",
  done: (stroops: number) => `${lumens(stroops)} were sent.`,
  underWay: (stroops: number) => `${lumens(stroops)} are under way. The history shows them once they have arrived: do not send them again.`,
  failed: "Nothing was sent.",
};
