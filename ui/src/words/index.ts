// Every word a person reads, written once. Plain words for people at home; no jargon, no blame, always a way out.
// Sentences that come from the node itself (errors, warnings) are shown as they are.

import { audits, receipt } from "./audits";
import { details, files, health } from "./files";
import { network } from "./network";
import { settings } from "./settings";
import { first, space } from "./setup";
import { share, standing } from "./share";
import { shared } from "./shared";
import { store } from "./store";
import { transfers } from "./transfers";
import { wallet } from "./wallet";
import { closing, connection, failed, held, nav, opening } from "./window";

export const words = {
  ...shared,
  nav,
  connection,
  opening,
  failed,
  held,
  first,
  space,
  files,
  health,
  store,
  transfers,
  details,
  audits,
  receipt,
  standing,
  share,
  wallet,
  network,
  settings,
  closing,
};
