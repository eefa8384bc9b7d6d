import type { Panel } from "../../data/panel.js";
import type { Decisions } from "./decisions.js";
import type { ResolvedBacktest } from "./options.js";
import { runBook } from "./run.js";
import { statisticsOf, type BacktestStatistics } from "./statistics.js";

/** What the same decisions come to with another capital. */
export interface CapacityPoint extends Pick<BacktestStatistics, "return" | "volatility" | "sharpe" | "drawdown" | "turnover" | "costs"> {
  readonly capital: number;
  readonly ruined: string | null;
}

/** Decisions that remember what was decided, and those that decide the same again. */
export function recorded(decisions: Decisions): { readonly first: Decisions; readonly again: Decisions } {
  const made = new Map<number, { readonly stocks: Int32Array; readonly weights: Float64Array }>();
  return {
    first: {
      ...decisions,
      decide: async (t, weights, known) => {
        if (!(await decisions.decide(t, weights, known))) return false;
        const stocks = Int32Array.from(weights.keys()).filter((n) => weights[n] !== 0);
        made.set(t, { stocks, weights: Float64Array.from(stocks, (n) => weights[n]!) });
        return true;
      },
    },
    again: {
      ...decisions,
      decide: (t, weights) => {
        const decision = made.get(t);
        if (decision === undefined) return false;
        weights.fill(0);
        for (const [i, n] of decision.stocks.entries()) weights[n] = decision.weights[i]!;
        return true;
      },
    },
  };
}

/** Runs the same decisions at each of `terms.capacity`, the smallest first. */
export async function capacityCurve(panel: Panel, decisions: Decisions, terms: ResolvedBacktest, { signal, onProgress }: { signal: AbortSignal | undefined; onProgress: (done: number) => void }): Promise<CapacityPoint[]> {
  const capitals = [...new Set(terms.capacity)].sort((a, b) => a - b);
  const points: CapacityPoint[] = [];
  for (const [i, capital] of capitals.entries()) {
    const { days, ruined } = await runBook(panel, decisions, { ...terms, capital }, { keepsFills: false, signal, onProgress: (done) => onProgress((i + done) / capitals.length) });
    const { return: mean, volatility, sharpe, drawdown, turnover, costs } = statisticsOf(days, { ...terms, capital });
    points.push({ capital, return: mean, volatility, sharpe, drawdown, turnover, costs, ruined: ruined ?? null });
  }
  return points;
}
