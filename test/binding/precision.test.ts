import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AstgnnError, setPrecision } from "../../lib/index.js";
import { loadCore } from "../../lib/binding/load.js";
import { packageRoot } from "../../lib/binding/package-root.js";

const infoUnder = (isa: string): ReturnType<typeof spawnSync> =>
  spawnSync(process.execPath, ["-e", `import(${JSON.stringify(join(packageRoot, "dist/binding/load.js"))}).then(({ loadCore }) => console.log(loadCore().info().cpu.isa))`], {
    env: { ...process.env, ASTGNN_ISA: isa },
    encoding: "utf8",
  });

describe("precision", () => {
  test("is high where there are tiles and nobody chose, and what the machine offers where somebody did", async () => {
    const warning = new Promise<Error & { code?: string }>((resolve) => process.once("warning", resolve));
    const hasTiles = loadCore().info().cpu.isa === "amx";
    expect(loadCore().precisionOn("cpu")).toBe(hasTiles ? "high" : "highest");
    expect(setPrecision("high")).toBe(hasTiles ? "high" : "highest");
    expect(loadCore().precisionOn("cpu")).toBe(hasTiles ? "high" : "highest");
    if (!hasTiles) expect(await warning).toMatchObject({ code: "ASTGNN_PRECISION", message: expect.stringContaining('"highest" is used') });
    expect(setPrecision("highest")).toBe("highest");
  });

  test("has three names", () => {
    expect(() => setPrecision("bf16" as never)).toThrow(AstgnnError);
    expect(() => setPrecision("bf16" as never)).toThrow(/"highest", "high", "medium"/);
  });
});

describe("ASTGNN_ISA", () => {
  test("chooses the kernels", () => {
    expect(String(infoUnder("scalar").stdout).trim()).toBe("scalar");
  });

  test("refuses what is no instruction set of this machine", () => {
    const { status, stderr } = infoUnder("sse9");
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/ASTGNN_ISA: expected an instruction set of this machine \(.*scalar\) but got "sse9"/);
  });
});
