import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../binding/package-root.js";
import { CONFIG, FONT } from "./charts/theme.js";
import { textWidth } from "./charts/text-width.js";

/** A Vega-Lite specification, or a part of one. */
export type Spec = Readonly<Record<string, unknown>>;

/** What dist/vendor/vega.js exports (scripts/bundle-vega.mjs). */
interface Vega {
  compile(spec: object): { spec: object };
  parse(spec: object): object;
  View: new (runtime: object, options: object) => { toSVG(): Promise<string>; finalize(): void };
  textMetrics: { width(item: { fontSize?: number }, text: unknown): number };
}

let vega: Promise<Vega> | undefined;

async function open(): Promise<Vega> {
  const bundle = (await import(pathToFileURL(join(packageRoot, "dist", "vendor", "vega.js")).href)) as Vega;
  // Node has no canvas to measure text with.
  bundle.textMetrics.width = ({ fontSize = 12 }, text) => textWidth(String(text ?? ""), fontSize);
  return bundle;
}

/**
 * Draws a Vega-Lite specification as the inner markup of an SVG and its size.
 *
 * @param prefix makes ids of clips and gradients those of this chart
 */
export async function drawChart(spec: Spec, prefix: string): Promise<{ markup: string; width: number; height: number }> {
  const { compile, parse, View } = await (vega ??= open());
  const view = new View(parse(compile({ ...spec, config: CONFIG }).spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  const [head = "", width = "0", height = "0"] = /^<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>/.exec(svg) ?? [];
  // Vega counts clips over the life of the process.
  const clips = new Map<string, number>();
  const markup = svg
    .slice(head.length, -"</svg>".length)
    .replaceAll(` font-family="${FONT}"`, "")
    .replace(/\b(id="|url\(#)((?:clip|gradient)_?\d+)/g, (_, before: string, id: string) => {
      if (!clips.has(id)) clips.set(id, clips.size + 1);
      return `${before}${prefix}-${clips.get(id)}`;
    })
    .replaceAll('<path d="" display="none"/>', "")
    // Coordinates to a hundredth of a pixel; text is left as it is.
    // What is in a picture has no role of its own.
    .replace(/<[^>]+>/g, (tag) => tag.replace(/ (?:role|aria-[a-z]+|class|pointer-events|stroke-miterlimit)="[^"]*"| opacity="1"/g, "").replace(/-?\d+\.\d{3,}/g, (number) => String(Number(Number(number).toFixed(2)))));
  return { markup, width: Number(width), height: Number(height) };
}
