import { COLOURS } from "../charts/theme.js";
import { decimals, fixed, isNumber, type Maybe, value } from "../format.js";
import type { ReportNumbers, SplitNumbers } from "../numbers.js";
import type { Block, Cell, Section } from "../section.js";
import { dateFigure } from "./by-date.js";
import { epochFigure } from "./training.js";

type Graph = Partial<Pick<SplitNumbers, "effectiveNeighbours" | "peerCorrelation" | "selfWeight" | "largestHub" | "hubSkewness">>;

/** What the graph A looks like, and whether it knows who belongs together. */
export function graphSection({ run, history = [], train, valid, test, subject, byDate }: ReportNumbers): Section | undefined {
  if (run === undefined || subject.kind === "walk-forward") return undefined;
  const splits: readonly (readonly [string, Graph | undefined])[] = [["train", train], ["validation", valid], ["test", test]];
  const row = (name: string, meaning: string, of: (graph: Graph) => Maybe, digits: number): Cell[] => [name, ...splits.map(([, graph]) => value(graph === undefined ? undefined : of(graph), decimals(digits), "the split has no date that counts, or no closes")), meaning];
  const blocks: Block[] = [
    {
      kind: "table",
      title: "The graph on each split",
      columns: [{ name: "" }, ...splits.map(([name]) => ({ name, align: "number" as const })), { name: "What it says", align: "sentence" }],
      rows: [
        row("Peer correlation", "of a stock’s coming returns with those of its peers; 0: the graph knows nothing", (graph) => graph.peerCorrelation, 3),
        row("Effective neighbours", "of a row of A; as many as there are stocks: the plain average", (graph) => graph.effectiveNeighbours, 1),
        row("Self weight", "how much of a row stays with the stock itself", (graph) => graph.selfWeight, 4),
        row("Largest hub", "stocks that have the same one among their 20 most similar", (graph) => graph.largestHub, 1),
        row("Skewness of hubs", "about 1 is usual; far above it a few are everybody’s", (graph) => graph.hubSkewness, 2),
      ],
    },
  ];
  const own = (test?.dates ?? 0) > 0 ? byDate?.test : byDate?.valid;
  if (own !== undefined) {
    blocks.push(
      dateFigure(own.dates, own.peerCorrelation, { title: "Peer correlation by date", subtitle: "0 where the graph knows nothing.", format: decimals(3), hasZero: true, reason: "No date has closes on the days after it." }),
      dateFigure(own.dates, own.effectiveNeighbours, { title: "Effective neighbours by date", subtitle: "exp of the entropy of a row of A, mean over rows.", format: decimals(1), hasZero: true, reason: "No date has a row with a weight." }),
    );
  }
  if (history.some(({ valid: split }) => isNumber(split.effectiveNeighbours))) {
    blocks.push(
      epochFigure(history, "Peer correlation by epoch", "On validation dates; 0 where the graph knows nothing.", [{ name: "peer correlation", colour: COLOURS.first, of: ({ valid: split }) => split.peerCorrelation }], true),
      epochFigure(history, "Effective neighbours by epoch", "On validation dates; exp of the entropy of a row of A.", [{ name: "effective neighbours", colour: COLOURS.first, of: ({ valid: split }) => split.effectiveNeighbours }], true),
    );
  }
  for (const { text } of (run.warnings ?? []).filter(({ reason }) => /graph|peer|hub/.test(reason))) blocks.push({ kind: "prose", text });
  const main = test !== undefined && (test.dates ?? 0) > 0 ? test : valid;
  const lead = isNumber(main?.peerCorrelation) ? `A stock’s return on the coming days correlates ${fixed(main.peerCorrelation, 3)} with that of its peers in the graph.` : "Who is linked to whom, learned anew on every date.";
  return { id: "graph", title: "Graph", lead, blocks };
}
