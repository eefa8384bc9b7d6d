import { lineChart } from "../charts/lines.js";
import { COLOURS } from "../charts/theme.js";
import { count, decimals, fixed, isNumber, type Maybe, percent, value } from "../format.js";
import { mainSplit, type ReportNumbers, type SplitNumbers } from "../numbers.js";
import { withoutPrices } from "../reasons.js";
import type { Block, Cell, Section } from "../section.js";

const two = decimals(2);

/** What books made of the predictions earn before and after costs. */
export function costsSection(numbers: ReportNumbers): Section {
  const split = mainSplit(numbers);
  const section = { id: "costs", title: "Turnover and costs" };
  const books = split?.numbers.books;
  if (split === undefined || books === undefined || books === null) return { ...section, blocks: [{ kind: "absent", title: "Books", reason: withoutPrices(numbers) }] };
  const { costBps, borrowBps } = books.factorWeighted;
  const lead = `Trading costs ${costBps} bp of each unit of traded weight one way, shorting ${borrowBps} bp a year. ${breakEvenText(books.factorWeighted)}`;
  return { ...section, lead, blocks: [curve(split.numbers, split.name), table(books)] };
}

function breakEvenText({ breakEvenBps, costBps }: { breakEvenBps: Maybe; costBps: Maybe }): string {
  if (!isNumber(breakEvenBps) || !isNumber(costBps)) return "";
  if (breakEvenBps <= 0) return "The long-short book earns nothing even without costs of trading.";
  return `The long-short book breaks even at ${fixed(breakEvenBps, 1)} bp: ${breakEvenBps > costBps ? `there is room for ${fixed(breakEvenBps / costBps, 1)} times the costs` : "it loses money at these costs"}.`;
}

function curve({ series: { book } }: SplitNumbers, name: string): Block {
  const title = "Long-short book";
  const days = book?.dates.length ?? 0;
  if (book === null || days < 2) return { kind: "absent", title, reason: "A line needs two days on which the book is held." };
  const [before, after] = [sumsOf(book.gross), sumsOf(book.net)];
  const months = monthsOf(book.dates, book.gross, book.net);
  return {
    kind: "figure",
    width: "full",
    title,
    subtitle: `Sum of daily returns in percent of its gross exposure of 1, long and short by the predictions’ distance from their mean; ${name} dates, nothing compounded.`,
    description: `Over ${count(days)} days the book earns ${fixed(before.at(-1)!, 1)} % before and ${fixed(after.at(-1)!, 1)} % after costs.`,
    chart: (width) =>
      lineChart({
        x: book.dates,
        lines: [
          { name: "before costs", colour: COLOURS.muted, values: before, isThin: true },
          { name: "after costs", colour: COLOURS.first, values: after },
        ],
        height: 320,
      }, width),
    table: {
      columns: [{ name: "Month" }, { name: "Before costs, %", align: "number" }, { name: "After costs, %", align: "number" }],
      rows: [...months].map(([month, [gross, net]]) => [month, fixed(100 * gross, 2), fixed(100 * net, 2)]),
      note: "By month; every day is in report.json.",
    },
  };
}

function table(books: NonNullable<SplitNumbers["books"]>): Block {
  const columns = [["long-short", books.factorWeighted], [`top ${books.top.stocks}, long`, books.top], ["all stocks, long", books.universe]] as const;
  const none = "fewer than two days, or a book that lost all";
  const row = (name: string, of: (book: (typeof columns)[number][1]) => Maybe, format: (number: number) => string): Cell[] => [name, ...columns.map(([, book]) => value(of(book), format, none))];
  return {
    kind: "table",
    title: "Three books, per year",
    columns: [{ name: "" }, ...columns.map(([name]) => ({ name, align: "number" as const }))],
    rows: [
      row("Return before costs", (book) => book.grossReturn, percent),
      row("Cost of trading", (book) => book.tradingCost, percent),
      row("Cost of shorting", (book) => book.borrowCost, percent),
      row("Return after costs", (book) => book.netReturn, percent),
      row("Volatility", (book) => book.volatility, percent),
      row("Sharpe before costs", (book) => book.grossSharpe, two),
      row("Sharpe after costs", (book) => book.netSharpe, two),
      row("Turnover per renewal", (book) => book.turnover, percent),
      row("Break-even cost, bp one way", (book) => book.breakEvenBps, (bps) => fixed(bps, 1)),
      row("Days", (book) => book.days, count),
    ],
    note: `${books.portfolios === 1 ? "One portfolio, renewed on every date." : `${books.portfolios} portfolios side by side, one renewed per date.`} Turnover is half the sum of absolute changes of weight, as a share of gross. Returns are those of the closes, without the market’s own reaction.`,
  };
}

function sumsOf(values: readonly Maybe[]): number[] {
  let sum = 0;
  return values.map((each) => (sum += 100 * (each ?? NaN)));
}

function monthsOf(dates: readonly string[], gross: readonly Maybe[], net: readonly Maybe[]): Map<string, [number, number]> {
  const months = new Map<string, [number, number]>();
  for (const [i, date] of dates.entries()) {
    const [before, after] = months.get(date.slice(0, 7)) ?? [0, 0];
    months.set(date.slice(0, 7), [before + (gross[i] ?? NaN), after + (net[i] ?? NaN)]);
  }
  return months;
}
