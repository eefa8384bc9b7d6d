import { loadCoreAway } from "../binding/load.js";
import { resolveThreads } from "../binding/threads.js";
import { LoadingsSchema, type ResolvedLoadings } from "../data/dataset-options.js";
import { listExposures, requireExposures, type ExposureList } from "../data/exposure-list.js";
import { groupsByDate, makeExposures, type PanelExposures } from "../data/exposures.js";
import { columnsOf } from "../data/feature-sets.js";
import type { LoadingsBasis } from "../data/loadings.js";
import type { NeutralTo } from "../data/neutral-to.js";
import type { Panel } from "../data/panel.js";
import type { PanelValues } from "../data/types.js";

/** How sets of exposures are made; by default as a dataset without options makes them. */
export interface ExposureMaking {
  readonly loadings?: ResolvedLoadings | undefined;
  /** The loadings that they go on from. */
  readonly basis?: LoadingsBasis | undefined;
  /** Whether the size of `style` is a column. Default: where the panel has one. */
  readonly hasSize?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Exposures of a panel, to be laid out for predictions of some of its dates and tickers. */
export interface KnownExposures {
  of(predictions: Pick<PanelValues, "dates" | "tickers">): NeutralTo;
  /** To be called once, when they are no longer used. */
  release(): void;
}

/**
 * Makes the exposures that `names` stand for (`loadings`, `style`, columns, and `groups`) by the code that makes features.
 *
 * @throws AstgnnError ERR_DATA for a column that the panel lacks, ERR_OPTION for groups that it lacks; where the core cannot be loaded
 */
export async function knownExposures(panel: Panel, names: readonly string[], { loadings, basis, hasSize, signal }: ExposureMaking): Promise<KnownExposures> {
  const list = listExposures(names, loadings ?? LoadingsSchema.parse({}), hasSize ?? panel.has("size"), "exposures");
  requireExposures(panel, list, "exposures");
  await panel.read(columnsOf(list.sources), { signal });
  const made = list.sources.every(({ set }) => set === undefined) ? columnsAsTheyAre(panel, list) : await madeByCore(panel, list, basis, signal);
  const stocks = panel.tickers.length;
  return {
    release: () => made.release(),
    of({ dates, tickers }) {
      const [rows, columns] = [indicesOf(dates, panel.dates), indicesOf(tickers, panel.tickers)];
      const matrix = new Float32Array(made.names.length * tickers.length);
      const codes = new Int32Array(tickers.length);
      const place = <A extends Float32Array | Int32Array>(out: A, from: ArrayLike<number> | undefined, missing: number, planes: number): A => {
        for (let k = 0; k < planes; k++) for (const [n, column] of columns.entries()) out[k * tickers.length + n] = from === undefined || column < 0 ? missing : from[k * stocks + column]!;
        return out;
      };
      return {
        exposures: {
          names: made.names,
          holds: (t) => rows[t]! >= 0 && made.holds(rows[t]!),
          of: (t) => place(matrix, rows[t]! < 0 ? undefined : made.of(rows[t]!), NaN, made.names.length),
        },
        groups: made.groups === undefined ? undefined : { count: made.groups.count, of: (t) => place(codes, rows[t]! < 0 ? undefined : made.groups!.of(rows[t]!), -1, 1) },
      };
    },
  };
}

async function madeByCore(panel: Panel, list: ExposureList, basis: LoadingsBasis | undefined, signal: AbortSignal | undefined): Promise<PanelExposures> {
  await loadCoreAway();
  return makeExposures(panel, list, basis, "exposures", { threads: resolveThreads(), signal, onDates: () => {} });
}

/** Without the core: numbers can be evaluated where there is none. */
function columnsAsTheyAre(panel: Panel, { sources, byGroup }: ExposureList): Pick<PanelExposures, "names" | "of" | "holds" | "groups" | "release"> {
  const stocks = panel.tickers.length;
  const columns = sources.map(({ name }) => panel.values(name));
  const matrix = new Float32Array(columns.length * stocks);
  return {
    names: sources.map(({ name }) => name),
    groups: byGroup ? groupsByDate(panel) : undefined,
    of(t) {
      for (const [k, column] of columns.entries()) matrix.set(column.subarray(t * stocks, (t + 1) * stocks), k * stocks);
      return matrix;
    },
    holds: () => true,
    release: () => {},
  };
}

function indicesOf(wanted: readonly string[], all: readonly string[]): Int32Array {
  const index = new Map(all.map((name, i) => [name, i]));
  return Int32Array.from(wanted, (name) => index.get(name) ?? -1);
}
