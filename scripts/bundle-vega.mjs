// Vega and Vega-Lite as one file of dist/, so that the package depends on neither: they and what they need take 25 MB as packages and 0.8 MB so.
// Called by scripts/install.mjs after lib/ is compiled; lib/report/vega.ts opens the file.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const ENTRY = 'export { parse, textMetrics, View } from "vega"; export { compile } from "vega-lite";';

/** vega-canvas asks for the package canvas, which would measure text in another way on machines that have it. */
const withoutCanvas = {
  name: "without-canvas",
  setup(bundle) {
    bundle.onResolve({ filter: /^canvas$/ }, () => ({ path: "canvas", namespace: "absent" }));
    bundle.onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: "export default null;" }));
  },
};

/** Writes vendor/vega.js and vendor/LICENSES.txt, the licences of everything in it, into `folder`. */
export async function bundleVega(folder) {
  const vendor = join(folder, "vendor");
  mkdirSync(vendor, { recursive: true });
  const { metafile } = await build({
    stdin: { contents: ENTRY, resolveDir: root },
    absWorkingDir: root,
    outfile: join(vendor, "vega.js"),
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node20",
    legalComments: "none",
    plugins: [withoutCanvas],
    metafile: true,
    logLevel: "error",
  });
  const packages = new Set(Object.keys(metafile.inputs).flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []));
  writeFileSync(join(vendor, "LICENSES.txt"), licences([...packages].sort()));
}

function licences(packages) {
  const parts = packages.map((path) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8"));
    const file = readdirSync(join(root, path)).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
    if (file === undefined && license === undefined) throw new Error(`${name} is bundled and has no licence.`);
    return { head: `${name} ${version} (${license})`, text: file === undefined ? "" : readFileSync(join(root, path, file), "utf8").trim() };
  });
  // Many of them share one text.
  const byText = new Map();
  for (const { head, text } of parts) byText.set(text, [...(byText.get(text) ?? []), head]);
  return `Packages in vega.js and their licences\n\n${[...byText].map(([text, heads]) => `${heads.join("\n")}\n\n${text}\n`).join(`\n${"-".repeat(72)}\n\n`)}`;
}
