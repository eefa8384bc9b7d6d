import { curveChart } from "../charts/curve.js";
import { lineChart, type Line } from "../charts/lines.js";
import { COLOURS } from "../charts/theme.js";
import { count, decimals, fixed, isNumber, type Maybe, percent, value } from "../format.js";
import type { Block, Cell, Section } from "../section.js";

/** A book through time, as report.json has it. */
export interface BacktestNumbers {
  readonly name: string;
  /** What was held, in a sentence. */
  readonly source: string;
  readonly return: Maybe;
  readonly volatility: Maybe;
  readonly sharpe: Maybe;
  readonly t: Maybe;
  readonly returnInterval: readonly Maybe[];
  readonly drawdown: Maybe;
  readonly drawdownFrom: string;
  readonly drawdownTo: string;
  readonly turnover: Maybe;
  readonly tradedPerYear: Maybe;
  readonly costs: { readonly trading: Maybe; readonly impact: Maybe; readonly borrow: Maybe; readonly total: Maybe; readonly interest: Maybe };
  readonly grossReturn: Maybe;
  readonly grossSharpe: Maybe;
  readonly breakEvenBps: Maybe;
  readonly totalReturn: Maybe;
  readonly compoundedReturn: Maybe;
  readonly gross: Maybe;
  readonly net: Maybe;
  readonly positions: Maybe;
  readonly dates: Maybe;
  readonly first: string;
  readonly last: string;
  readonly decisions: Maybe;
  readonly portfolios: Maybe;
  readonly ruined: string | null;
  readonly terms: {
    readonly capital: Maybe; readonly fill: string; readonly lagDays: Maybe; readonly costBps: Maybe; readonly borrowBps: Maybe; readonly cashBps: Maybe; readonly impact: Maybe;
    readonly lotSize: Maybe; readonly unfilled: string; readonly delistingReturn: Maybe;
  };
  /** Equity as a multiple of the capital, exposures at the close, shares traded, fall from the peak. */
  readonly daily: {
    readonly dates: readonly string[]; readonly equity: readonly Maybe[]; readonly gross: readonly Maybe[]; readonly net: readonly Maybe[]; readonly traded: readonly Maybe[]; readonly drawdown: readonly Maybe[];
  };
  /** Absent from reports of earlier versions. */
  readonly relative?: { readonly benchmark: string; readonly activeReturn: Maybe; readonly activeT: Maybe; readonly trackingError: Maybe; readonly informationRatio: Maybe; readonly beta: Maybe } | null;
  readonly capacity: readonly { readonly capital: Maybe; readonly return: Maybe; readonly sharpe: Maybe; readonly costs: { readonly impact: Maybe; readonly total: Maybe }; readonly ruined: string | null }[] | null;
  readonly delistings: readonly { readonly ticker: string; readonly lastDate: string; readonly price: Maybe; readonly weight: Maybe }[];
  /** What could not be done as decided. */
  readonly orders: readonly { readonly count: Maybe; readonly text: string }[];
}

/** Books in one chart; what is more is in the table. */
const SHOWN = 5;
const SERIES = [COLOURS.first, COLOURS.second, COLOURS.third, COLOURS.muted, COLOURS.ink];
const NONE = "fewer than two dates, or nothing varies";
const two = decimals(2);

/** Books made of predictions, weights or decisions, held through the prices. */
export function backtestSection({ backtests = [] }: { readonly backtests?: readonly BacktestNumbers[] | undefined }): Section | undefined {
  if (backtests.length === 0) return undefined;
  const shown = backtests.slice(0, SHOWN);
  return {
    id: "backtest",
    title: "Backtest",
    lead: `${termsText(backtests)} A decision is made after a close and filled later; between fills positions drift with their prices. Without the market’s answer beyond the impact that is stated.`,
    blocks: [equity(shown), drawdown(shown), ...shown.flatMap((book) => [exposure(book, shown.length), traded(book, shown.length)]), table(backtests), ...backtests.flatMap(capacityOf), ...leftOut(backtests)],
  };
}

function termsText(backtests: readonly BacktestNumbers[]): string {
  const sentence = ({ fill, lagDays, costBps, borrowBps, cashBps, impact, lotSize, capital }: BacktestNumbers["terms"]): string => {
    const parts = [
      `Filled at the ${fill} ${lagDays === 1 ? "of the date after the decision" : `${lagDays} dates after the decision`}`,
      `${costBps} bp of each unit traded one way`,
      `${borrowBps} bp a year on what is short`,
      ...(cashBps === 0 ? [] : [`cash earns ${cashBps} bp a year`]),
      ...(isNumber(impact) && impact > 0 ? [`square-root impact with coefficient ${impact} at a capital of ${money(capital)}`] : []),
      ...(isNumber(lotSize) && lotSize > 0 ? [`lots of ${lotSize} shares`] : []),
    ];
    return `${parts.join("; ")}.`;
  };
  const all = new Set(backtests.map(({ terms }) => sentence(terms)));
  return all.size === 1 ? [...all][0]! : backtests.map(({ name, terms }) => `${name}: ${sentence(terms)}`).join(" ");
}

/** The value of each book on the dates of all: a book that begins later has none before. */
function together(books: readonly BacktestNumbers[], of: (book: BacktestNumbers) => readonly Maybe[], scale: number, shift = 0): { x: string[]; lines: Line[] } {
  const x = [...new Set(books.flatMap(({ daily }) => daily.dates))].sort();
  const lines = books.map((book, k): Line => {
    const values = new Map(book.daily.dates.map((date, i) => [date, of(book)[i]]));
    return { name: books.length === 1 ? "" : book.name, colour: SERIES[k]!, values: x.map((date) => scale * ((values.get(date) ?? NaN) - shift)) };
  });
  return { x, lines };
}

function equity(books: readonly BacktestNumbers[]): Block {
  const { x, lines } = together(books, ({ daily }) => daily.equity, 100, 1);
  return figureOf({
    title: "Value of the book", width: "full", subtitle: "Gain on the capital after all costs in percent, compounded.",
    description: books.map(({ name, totalReturn, first, last }) => `${name} gains ${isNumber(totalReturn) ? percent(totalReturn) : "nothing known"} from ${first} to ${last}`).join("; "),
    x, lines, names: books.map(({ name }) => name), height: 320, digits: 1,
  });
}

function drawdown(books: readonly BacktestNumbers[]): Block {
  const { x, lines } = together(books, ({ daily }) => daily.drawdown, 100);
  return figureOf({
    title: "Fall from the peak", width: "full", subtitle: "Percent below the highest value so far.",
    description: books.map(({ name, drawdown: worst, drawdownFrom, drawdownTo }) => `${name} falls most, by ${isNumber(worst) ? percent(worst) : "an unknown part"}, from ${drawdownFrom} to ${drawdownTo}`).join("; "),
    x, lines, names: books.map(({ name }) => name), height: 220, digits: 1,
  });
}

function exposure({ name, daily, gross, net }: BacktestNumbers, books: number): Block {
  const number = (values: readonly Maybe[]): number[] => values.map((each) => each ?? NaN);
  return figureOf({
    title: books === 1 ? "Exposure" : `Exposure, ${name}`, width: "half", subtitle: "Sum of absolute weights, and of weights, at the close.",
    description: `Gross is ${isNumber(gross) ? two(gross) : "unknown"}, net ${isNumber(net) ? two(net) : "unknown"} on average.`,
    x: daily.dates, height: 240, digits: 2, names: ["Gross", "Net"],
    lines: [{ name: "gross", colour: COLOURS.first, values: number(daily.gross) }, { name: "net", colour: COLOURS.second, values: number(daily.net) }],
  });
}

function traded({ name, daily, turnover }: BacktestNumbers, books: number): Block {
  return figureOf({
    title: books === 1 ? "Traded" : `Traded, ${name}`, width: "half", subtitle: "Bought and sold per date, in percent of the book.",
    description: `Each decision turns over ${isNumber(turnover) ? percent(turnover) : "an unknown part"} of the book on average.`,
    x: daily.dates, height: 240, digits: 1, names: ["Traded, %"],
    lines: [{ name: "", colour: COLOURS.first, values: daily.traded.map((each) => 100 * (each ?? NaN)), isThin: true }],
  });
}

interface Lines {
  readonly title: string;
  readonly subtitle: string;
  readonly description: string;
  readonly width: "full" | "half";
  readonly x: readonly string[];
  readonly lines: readonly Line[];
  /** Of the lines, in the table. */
  readonly names: readonly string[];
  readonly height: number;
  readonly digits: number;
}

function figureOf({ title, subtitle, description, width, x, lines, names, height, digits }: Lines): Block {
  if (x.length < 2) return { kind: "absent", title, reason: "A line needs two dates." };
  // The last date of each month.
  const months = x.flatMap((date, i) => (date.slice(0, 7) === x[i + 1]?.slice(0, 7) ? [] : [i]));
  return {
    kind: "figure", width, title, subtitle, description,
    chart: (pixels) => lineChart({ x, lines, height }, pixels),
    table: {
      columns: [{ name: "Month" }, ...names.map((name) => ({ name, align: "number" as const }))],
      rows: months.map((i): Cell[] => [x[i]!.slice(0, 7), ...lines.map(({ values }) => value(values[i], decimals(digits), "not held then"))]),
      note: "The last date of each month; every date is in report.json.",
    },
  };
}

function table(books: readonly BacktestNumbers[]): Block {
  const row = (name: string, of: (book: BacktestNumbers) => Maybe, format: (number: number) => string): Cell[] => [name, ...books.map((book) => value(of(book), format, NONE))];
  const text = (name: string, of: (book: BacktestNumbers) => string): Cell[] => [name, ...books.map(of)];
  return {
    kind: "table",
    title: books.length === 1 ? "Per year" : "Books, per year",
    columns: [{ name: "" }, ...books.map(({ name }) => ({ name: books.length === 1 ? "" : name, align: "number" as const }))],
    rows: [
      row("Return before costs", (book) => book.grossReturn, percent),
      row("Fees", (book) => book.costs.trading, percent),
      row("Market impact", (book) => book.costs.impact, percent),
      row("Borrowing", (book) => book.costs.borrow, percent),
      row("Return after costs", (book) => book.return, percent),
      text("95 % interval", ({ returnInterval: [low, high] }) => (isNumber(low) && isNumber(high) ? `${percent(low)} to ${percent(high)}` : "–")),
      row("t (Newey-West)", (book) => book.t, two),
      row("Volatility", (book) => book.volatility, percent),
      row("Sharpe before costs", (book) => book.grossSharpe, two),
      row("Sharpe after costs", (book) => book.sharpe, two),
      row("Compounded", (book) => book.compoundedReturn, percent),
      ...(books.every(({ relative }) => relative == null) ? [] : [
        text("Benchmark", ({ relative }) => relative?.benchmark ?? "–"),
        row("Active return", (book) => book.relative?.activeReturn, percent),
        row("t of it (Newey-West)", (book) => book.relative?.activeT, two),
        row("Tracking error", (book) => book.relative?.trackingError, percent),
        row("Information ratio", (book) => book.relative?.informationRatio, two),
        row("Beta", (book) => book.relative?.beta, two),
      ]),
      row("Largest fall", (book) => book.drawdown, percent),
      row("Turnover per decision", (book) => book.turnover, percent),
      row("Break-even cost, bp one way", (book) => book.breakEvenBps, (bps) => fixed(bps, 1)),
      row("Interest on cash", (book) => book.costs.interest, percent),
      row("Gross, mean", (book) => book.gross, two),
      row("Stocks held, mean", (book) => book.positions, (number) => fixed(number, 1)),
      row("Decisions", (book) => book.decisions, count),
      row("Dates", (book) => book.dates, count),
    ],
    note: "Means of daily returns times the dates of a year, nothing compounded but where the word stands. Turnover is half the sum of absolute changes of weight, as a share of gross.",
  };
}

function capacityOf({ name, capacity }: BacktestNumbers): Block[] {
  if (capacity === null) return [];
  const points = capacity.flatMap(({ capital, sharpe }) => (isNumber(capital) && isNumber(sharpe) ? [{ x: capital, y: sharpe, label: two(sharpe) }] : []));
  const title = `Capacity, ${name}`;
  if (points.length < 2) return [{ kind: "absent", title, reason: "A curve needs two capitals at which something is left." }];
  return [{
    kind: "figure", width: "full", title,
    subtitle: "Sharpe ratio after costs by capital: the same decisions, the market impact growing with what is traded.",
    description: points.map(({ x, label }) => `${money(x)}: ${label}`).join("; "),
    chart: (pixels) => curveChart(points, pixels),
    table: {
      columns: [{ name: "Capital", align: "number" }, { name: "Return", align: "number" }, { name: "Sharpe", align: "number" }, { name: "Market impact", align: "number" }, { name: "All costs", align: "number" }],
      rows: capacity.map((point): Cell[] => {
        const why = point.ruined === null ? NONE : `nothing was left on ${point.ruined}`;
        return [money(point.capital), value(point.return, percent, why), value(point.sharpe, two, why), value(point.costs.impact, percent, why), value(point.costs.total, percent, why)];
      }),
    },
  }];
}

/** What could not be done as decided, of all books together, and what was delisted while held. */
function leftOut(books: readonly BacktestNumbers[]): Block[] {
  const texts = [...new Set(books.flatMap(({ orders }) => orders.map(({ text }) => text)))];
  const counts: Block = {
    kind: "table",
    title: "What could not be done as decided",
    columns: [{ name: "What", align: "sentence" }, ...books.map(({ name }) => ({ name: books.length === 1 ? "Count" : name, align: "number" as const }))],
    rows: texts.map((text): Cell[] => [text, ...books.map(({ orders }) => value(orders.find((entry) => entry.text === text)?.count ?? 0, count, "unknown"))]),
  };
  return [
    ...books.flatMap(({ name, ruined }): Block[] => (ruined === null ? [] : [{ kind: "prose", text: `${name}: nothing was left on ${ruined}, and the book ends there.` }])),
    ...(texts.length === 0 ? [] : [counts]),
    ...books.flatMap(({ name, delistings }): Block[] => (delistings.length === 0 ? [] : [{
      kind: "table", title: `Delisted while held, ${name}`, isFolded: books.length > 1 || delistings.length > 10,
      columns: [{ name: "Stock" }, { name: "Last date" }, { name: "Paid out at", align: "number" }, { name: "Share of the book", align: "number" }],
      rows: delistings.map(({ ticker, lastDate, price, weight }): Cell[] => [ticker, lastDate, value(price, two, "unknown"), value(weight, percent, "unknown")]),
    }])),
  ];
}

/** 1 500 000 as 1.5 million. */
export function money(amount: Maybe): string {
  if (!isNumber(amount)) return "–";
  const [unit, word] = amount >= 1e9 ? [1e9, " billion"] : amount >= 1e6 ? [1e6, " million"] : [1, ""];
  return `${unit === 1 ? count(amount) : String(Number((amount / unit).toPrecision(4)))}${word}`;
}
