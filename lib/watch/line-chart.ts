import { escaped } from "../report/html.js";

/** One line of a chart. */
export interface Line {
  readonly name: string;
  /** CSS class that gives the colour, e.g. `c0`. */
  readonly colour: string;
  readonly isDashed?: boolean;
  /** x ascending; a y of null leaves a gap. */
  readonly points: readonly (readonly [x: number, y: number | null])[];
  /** x of a point to mark. */
  readonly marked?: number | undefined;
}

/** What a chart shows. */
export interface Chart {
  readonly title: string;
  /** One sentence for who cannot see it. */
  readonly description: string;
  readonly lines: readonly Line[];
  /** Axis from 1 to at least this x. */
  readonly lastX: number;
  readonly digits: number;
}

const [WIDTH, HEIGHT] = [320, 190];
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 10, 10, 24];
/** More points than pixels say nothing. */
const MOST_POINTS = 150;
/** Up to so many points each has a dot with its numbers. */
const MOST_DOTS = 40;

/** A line chart as inline SVG without any style of its own: classes and CSS variables of the page give it colours. */
export function lineChart({ title, description, lines, lastX, digits }: Chart): string {
  const drawn = lines.map((line) => ({ ...line, points: thinned(line.points, line.marked) }));
  const ys = drawn.flatMap(({ points }) => points.flatMap(([, y]) => y ?? []));
  const ticks = ticksOf(Math.min(...ys), Math.max(...ys));
  const [low, high] = [ticks[0]!, ticks.at(-1)!];
  const most = Math.max(2, lastX);
  const x = (value: number): number => round(LEFT + ((value - 1) / (most - 1)) * (WIDTH - LEFT - RIGHT));
  const y = (value: number): number => round(TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM));
  const parts = [
    `<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(`${title}. ${description}`)}">`,
    ...(ys.length === 0 ? [] : ticks.map((tick) => `<line class="${tick === 0 ? "zero" : "grid"}" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}"/><text class="tick end" x="${LEFT - 6}" y="${y(tick) + 4}">${tickText(tick, ticks)}</text>`)),
    ...epochTicks(most).map((epoch) => `<text class="tick middle" x="${x(epoch)}" y="${HEIGHT - 6}">${epoch}</text>`),
    ...(ys.length === 0 ? [] : [`<text class="tick end" x="${LEFT - 6}" y="${HEIGHT - 6}">epoch</text>`]),
    ...(ys.length === 0 ? [`<text class="tick middle" x="${WIDTH / 2}" y="${HEIGHT / 2}">no epoch yet</text>`] : []),
  ];
  for (const { name, colour, isDashed, points, marked } of drawn) {
    parts.push(`<path class="line ${colour}${isDashed === true ? " dashed" : ""}" d="${pathOf(points, x, y)}"/>`);
    const hasDots = points.length <= MOST_DOTS;
    for (const [epoch, value] of points) {
      if (value === null || (!hasDots && epoch !== marked)) continue;
      const label = `<title>${escaped(`${name}, epoch ${epoch}: ${value.toFixed(digits)}${epoch === marked ? ", the best" : ""}`)}</title>`;
      parts.push(`<circle class="dot ${colour}${epoch === marked ? " marked" : ""}" cx="${x(epoch)}" cy="${y(value)}" r="${epoch === marked ? 4.5 : 2.5}">${label}</circle>`);
    }
  }
  parts.push("</svg>");
  return parts.join("");
}

/** Lines break where a value is missing; a single point is drawn by its dot. */
function pathOf(points: Line["points"], x: (value: number) => number, y: (value: number) => number): string {
  let isPen = false;
  return points.map(([epoch, value]) => {
    const command = value === null ? "" : `${isPen ? "L" : "M"}${x(epoch)} ${y(value)}`;
    isPen = value !== null;
    return command;
  }).join("");
}

function thinned(points: Line["points"], marked: number | undefined): Line["points"] {
  const stride = Math.ceil(points.length / MOST_POINTS);
  return points.filter(([x], i) => i % stride === 0 || i === points.length - 1 || x === marked);
}

/** Three to six round numbers that enclose an interval. */
export function ticksOf(low: number, high: number): number[] {
  if (!(low <= high)) return [0, 1];
  const span = high - low > 0 ? high - low : Math.max(Math.abs(high) * 0.1, 1e-3);
  const [from, to] = high > low ? [low, high] : [low - span / 2, high + span / 2];
  const rough = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * rough).find((size) => span / size <= 4.2)!;
  const first = Math.floor(from / step + 1e-9);
  const last = Math.ceil(to / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function tickText(tick: number, ticks: readonly number[]): string {
  const step = ticks[1]! - ticks[0]!;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (/^[1-9]0*$|^0\.0*[1-9]$/.test(String(Number(step.toPrecision(6)))) ? 0 : 1));
  return tick.toFixed(Math.min(6, digits));
}

/** Up to seven whole epochs from the first to the last. */
function epochTicks(last: number): number[] {
  const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000].find((size) => last / size <= 7) ?? Math.ceil(last / 7);
  const ticks = step === 2 ? [] : [1];
  for (let epoch = step; epoch <= last; epoch += step) if (epoch > 1) ticks.push(epoch);
  return ticks;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
