import { count, decimals, fixed, isNumber, longDate, type Maybe, value } from "../format.js";
import type { Section, Table } from "../section.js";

interface Realised {
  readonly correlation60: Maybe;
  readonly correlationNext20: Maybe;
}

/** Whom the graph links a stock with on a date, heaviest first. */
export interface StockPeersNumbers {
  readonly date: string;
  readonly ticker: string;
  readonly group?: string | undefined;
  readonly peers: readonly (Realised & { readonly ticker: string; readonly weight: Maybe; readonly group?: string | undefined; readonly since: string; readonly orEarlier: boolean; readonly listedBy: Maybe })[];
  readonly averages: { readonly peers: Realised; readonly others: Realised };
  /** Why the list means nothing, where it does. */
  readonly warning?: { readonly text: string } | undefined;
}

/** The peers of the stocks that somebody asked for. */
export function peersSection({ peers = [] }: { readonly peers?: readonly StockPeersNumbers[] | undefined }): Section | undefined {
  if (peers.length === 0) return undefined;
  return {
    id: "peers",
    title: "Peers",
    lead: "The stocks that a stock leans on most in the graph, and whether their returns went together: over the 60 days before the date, which the model could know, and over the 20 after it, which nobody could.",
    blocks: peers.flatMap((stock) => [tableOf(stock), ...(stock.warning === undefined ? [] : [{ kind: "prose" as const, text: stock.warning.text }])]),
  };
}

function named({ ticker, group }: { readonly ticker: string; readonly group?: string | undefined }): string {
  return group === undefined ? ticker : `${ticker} (${group})`;
}

function tableOf({ date, ticker, group, peers, averages }: StockPeersNumbers): Table {
  const correlation = (number: Maybe, why: string) => value(number, decimals(2), why);
  const both = ({ correlation60, correlationNext20 }: Realised) => [correlation(correlation60, "too few days before the date"), correlation(correlationNext20, "the days after the date are not known")];
  const mean = (name: string, of: Realised) => [name, "", ...both(of), "", ""];
  const [own, others] = [averages.peers.correlationNext20, averages.others.correlationNext20];
  return {
    kind: "table",
    title: `${named({ ticker, group })} on ${longDate(date)}`,
    columns: [{ name: "Peer" }, ...["Weight", "60 days before", "20 days after"].map((name) => ({ name, align: "number" as const })), { name: "Peer since" }, { name: "Listed by", align: "number" }],
    rows: [
      ...peers.map((peer) => [named(peer), value(peer.weight, decimals(4), "no weight"), ...both(peer), `${peer.since}${peer.orEarlier ? " or earlier" : ""}`, count(peer.listedBy ?? 0)]),
      mean("mean of these", averages.peers),
      mean("all other stocks", averages.others),
    ],
    ...(isNumber(own) && isNumber(others) ? { note: `Correlation of daily returns. After the date these went with the stock by ${fixed(own, 2)}, the others by ${fixed(others, 2)}. Listed by: stocks that have the peer among their 20 most similar.` } : {}),
  };
}
