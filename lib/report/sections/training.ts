import { lineChart, type Line } from "../charts/lines.js";
import { COLOURS } from "../charts/theme.js";
import { decimals, fixed, isNumber, type Maybe, value } from "../format.js";
import type { ReportNumbers } from "../numbers.js";
import type { Block, Figure, Section } from "../section.js";

type Epoch = NonNullable<ReportNumbers["history"]>[number];
type Curve = { readonly name: string; readonly colour: string; readonly of: (epoch: Epoch) => Maybe };

const four = decimals(4);

/** Curves over the epochs, of an ensemble one per member. */
export function trainingSection({ history = [], bestEpoch, run, subject }: ReportNumbers): Section | undefined {
  // Those of a walk-forward are in the reports of its folds.
  if (run === undefined || subject.kind === "walk-forward") return undefined;
  const section = { id: "training", title: "Training" };
  if (history.length === 0) return { ...section, blocks: [{ kind: "absent", title: "Epochs", reason: "metrics.jsonl has no epochs." }] };
  const seeds = new Set(history.map(({ seed }) => seed)).size;
  const lead = bestEpoch == null ? (seeds > 1 ? `${seeds} members, each kept at its best epoch.` : undefined) : `The weights of epoch ${bestEpoch} were kept.`;
  const hasValid = history.some(({ valid }) => (valid.dates ?? 0) > 0);
  const blocks: Block[] = [
    epochFigure(history, "Loss", hasValid ? "What training minimises, on training and on validation dates." : "What training minimises.", [{ name: "train", colour: COLOURS.muted, of: ({ train }) => train.loss }, ...(hasValid ? [{ name: "validation", colour: COLOURS.first, of: ({ valid }: Epoch) => valid.loss }] : [])], false),
    hasValid
      ? epochFigure(history, "Validation IC", "Mean daily IC and RankIC of the averaged weights after each epoch.", [{ name: "IC", colour: COLOURS.first, of: ({ valid }) => valid.ic }, { name: "RankIC", colour: COLOURS.second, of: ({ valid }) => valid.rankIc }], true)
      : { kind: "absent", title: "Validation IC", reason: "The run has no validation dates." },
  ];
  const terms = [...new Set(history.flatMap(({ train }) => Object.keys(train.terms)))];
  if (terms.length > 1) blocks.push(termTable(history, terms));
  return { ...section, lead, blocks };
}

/** Curves by epoch; the members of an ensemble are thin lines of one colour. */
export function epochFigure(history: readonly Epoch[], title: string, subtitle: string, curves: readonly Curve[], hasZero: boolean): Figure | Block {
  const epochs = [...new Set(history.map(({ epoch }) => epoch ?? 0))].sort((a, b) => a - b);
  const seeds = [...new Set(history.map(({ seed }) => seed ?? 0))];
  const at = new Map(history.map((event) => [`${event.seed} ${event.epoch}`, event]));
  const lines = curves.flatMap(({ name, colour, of }) =>
    seeds.map((seed, i): Line => ({
      name: i === 0 ? name : "",
      colour,
      values: epochs.map((epoch) => {
        const event = at.get(`${seed} ${epoch}`);
        return (event === undefined ? undefined : of(event)) ?? NaN;
      }),
      isThin: seeds.length > 1,
      hasPoints: seeds.length === 1,
    })),
  );
  const known = lines.filter(({ values }) => values.some(isNumber));
  if (known.length === 0) return { kind: "absent", title, reason: "It was defined in no epoch." };
  const last = known.map(({ name, values }) => `${name === "" ? "a further member" : name} from ${four(values.find(isNumber)!)} to ${four(values.findLast(isNumber)!)}`);
  return {
    kind: "figure",
    width: "half",
    title,
    subtitle,
    description: `Over ${epochs.length} epochs: ${last.join("; ")}.`,
    chart: (width) => lineChart({ x: epochs, lines: known, hasZero, height: 260 }, width),
    table: {
      columns: [{ name: "Epoch", align: "number" }, ...(seeds.length > 1 ? [{ name: "Seed", align: "number" as const }] : []), ...curves.map(({ name }) => ({ name, align: "number" as const }))],
      rows: history.map((event) => [fixed(event.epoch ?? 0, 0), ...(seeds.length > 1 ? [fixed(event.seed ?? 0, 0)] : []), ...curves.map(({ of }) => value(of(event), four, "not defined in this epoch"))]),
    },
  };
}

function termTable(history: readonly Epoch[], terms: readonly string[]): Block {
  return {
    kind: "table",
    title: "Terms of the loss, training dates",
    columns: [{ name: "Epoch", align: "number" }, { name: "Seed", align: "number" }, ...terms.map((name) => ({ name, align: "number" as const }))],
    rows: history.map(({ epoch, seed, train }) => [fixed(epoch ?? 0, 0), fixed(seed ?? 0, 0), ...terms.map((name) => value((train.terms as Readonly<Record<string, Maybe>>)[name], four, "defined on no date of the epoch"))]),
  };
}
