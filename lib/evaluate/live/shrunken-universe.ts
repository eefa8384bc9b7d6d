import { median } from "../../data/ranks.js";
import { percent, type Finding } from "../audit/finding.js";
import { rowsOn, type LiveSubject } from "./live-subject.js";

const NEWEST = 20;
const BEFORE = 250;
const WARN_SHARE = 0.1;
const FAIL_SHARE = 0.3;

/** A universe that has lost stocks: the median number of rows of the newest 20 dates against that of the last 250 which the run knew. */
export function shrunkenUniverse({ live, news, reference, known }: LiveSubject): Finding[] {
  if (news.length === 0) return [];
  const usual = median(known.slice(-BEFORE).map((t) => rowsOn(reference.dataset, t).length));
  const now = median(news.slice(-NEWEST).map((t) => rowsOn(live.dataset, t).length));
  const lost = 1 - now / usual;
  if (!(lost > WARN_SHARE)) return [];
  const isFail = lost > FAIL_SHARE;
  const there = new Set(news.slice(-NEWEST).flatMap((t) => Array.from(rowsOn(live.dataset, t), (n) => live.dataset.tickers[n]!)));
  const tickers = Array.from(rowsOn(reference.dataset, known.at(-1)!), (n) => reference.dataset.tickers[n]!).filter((ticker) => !there.has(ticker));
  return [
    {
      code: "universe_shrank", severity: isFail ? "fail" : "warn", value: lost, threshold: isFail ? FAIL_SHARE : WARN_SHARE, tickers,
      text: `${Math.round(now)} stocks are in on the newest dates, ${percent(lost)} fewer than the ${Math.round(usual)} that the run knew${tickers.length === 0 ? "" : `; ${tickers.length} of its last date are gone`}.`,
      next: "Complete the data; scores compare a stock with those that are in.",
    },
  ];
}
