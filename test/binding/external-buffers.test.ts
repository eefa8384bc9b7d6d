import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { tinyConfig, tinyPanelData } from "./tiny.js";

/** The core with an N-API that refuses external buffers, as Electron's does; `npm test` builds it. */
const electron = join(packageRoot, "build", "no-external-buffers");

/** What a process with this core predicts: the risk factors of 2,700 rows, 1.4 MB. */
function predicted(variables: NodeJS.ProcessEnv): { first: number[]; bytes: number } {
  const { features, targets: _, rowOffsets, rowStocks, ...rest } = tinyPanelData(300);
  const script = `
    import { loadCore } from ${JSON.stringify(pathToFileURL(join(packageRoot, "dist", "binding", "load.js")).href)};
    const core = loadCore();
    const panel = core.createPanel({ ...${JSON.stringify({ ...rest, horizons: 0 })}, features: Float32Array.from({ length: ${(features as Float32Array).length} }, (_, i) => Math.sin(i)),
      rowOffsets: Int32Array.from(${JSON.stringify([...rowOffsets])}), rowStocks: Int32Array.from(${JSON.stringify([...rowStocks])}) });
    const model = core.createModel(${JSON.stringify(tinyConfig({ numRiskFactors: 128 }))}, "float32", 0);
    const { riskFactors } = await core.predict(model, panel, { dates: Int32Array.from({ length: 9 }, (_, d) => 3 + d), riskFactors: true, threads: 1 }).done;
    console.log(JSON.stringify({ first: [...riskFactors.subarray(0, 300)], bytes: riskFactors.byteLength }));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { env: { ...process.env, ...variables }, encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as { first: number[]; bytes: number };
}

test.skipIf(!existsSync(electron))("large results are copied where JavaScript takes no memory that is not its own", () => {
  const copied = predicted({ ASTGNN_PREBUILD: electron });
  expect(copied.bytes).toBe(2700 * 128 * 4);
  expect(copied).toEqual(predicted({}));
});
