// A farmer's limits as a form holds them: text fields in the units people use. Pure.

import { MB, XLM } from "../format";
import type { FarmSettings } from "../ipc";

export type LimitsForm = { price: string; upload: string; download: string; byHours: boolean; from: string; until: string; operator: string };

const time = (minute: number) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
const minute = (text: string) => {
  const [hours = 0, minutes = 0] = text.split(":").map(Number);
  return hours * 60 + minutes;
};
/** An empty field and zero both mean that there is no limit. */
const limit = (text: string) => (Number(text) > 0 ? Math.round(Number(text) * MB) : null);

export function formOf(settings: FarmSettings): LimitsForm {
  const { storage_price, upload_limit, download_limit, hours, operator } = settings;
  return {
    price: String(storage_price / XLM),
    upload: upload_limit === null ? "" : String(upload_limit / MB),
    download: download_limit === null ? "" : String(download_limit / MB),
    byHours: hours !== null,
    from: time(hours?.from_minute ?? 22 * 60),
    until: time(hours?.until_minute ?? 7 * 60),
    operator: operator ?? "",
  };
}

export function settingsOf(form: LimitsForm, before: FarmSettings): FarmSettings {
  return {
    ...before,
    storage_price: Math.max(0, Math.round(Number(form.price) * XLM) || 0),
    upload_limit: limit(form.upload),
    download_limit: limit(form.download),
    hours: form.byHours ? { from_minute: minute(form.from), until_minute: minute(form.until) } : null,
    operator: form.operator.trim() || null,
  };
}
