import { afterEach, describe, expect, it, vi } from "vitest";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { findNativeBuild } from "../../lib/binding/load.js";
import { packageRoot } from "../../lib/binding/package-root.js";
import { scratch, write } from "./libtorch-fixture.js";

const root = scratch();
const platform = `${process.platform}-${process.arch}`;
const core = `libastgnn_core.${process.platform === "darwin" ? "dylib" : "so"}`;
let count = 0;

/** A package folder that node-gyp-build is sent to; every .node in it is the real bootstrap. */
function packageWith(bootstraps: readonly string[], files: Record<string, string> = {}): string {
  const folder = write(join(root, `package-${++count}`), { ...Object.fromEntries(bootstraps.map((name) => [name, ""])), ...files });
  for (const name of bootstraps) copyFileSync(join(packageRoot, "build", "Release", "astgnn.node"), join(folder, name));
  vi.stubEnv("ASTGNN_PREBUILD", folder);
  return folder;
}

afterEach(() => vi.unstubAllEnvs());

describe("the native build", () => {
  const prebuilt = `prebuilds/${platform}/astgnn.node`;
  const built = "build/Release/astgnn.node";

  it("is the prebuilt one of this platform", () => {
    const folder = packageWith([prebuilt, "prebuilds/sunos-mips/astgnn.node"], { [`prebuilds/${platform}/${core}`]: "" });
    expect(findNativeBuild()).toMatchObject({ bootstrap: join(folder, prebuilt), core: join(folder, "prebuilds", platform, core), libtorchVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  });

  it("is the one built from source where both are there", () => {
    const folder = packageWith([prebuilt, built], { [`prebuilds/${platform}/${core}`]: "", [`build/Release/${core}`]: "" });
    expect(findNativeBuild()).toMatchObject({ bootstrap: join(folder, built), core: join(folder, "build", "Release", core) });
  });

  it("is missing where only another platform's is there, and the error says what to do", () => {
    packageWith(["prebuilds/sunos-mips/astgnn.node"]);
    expect(findNativeBuild).toThrow(expect.objectContaining({ code: "ERR_NATIVE_MISSING", message: expect.stringMatching(/neither .*build.Release nor .*prebuilds.* holds a \.node file\..*npm run build/s) }));
  });

  it("is refused where the core is not beside the bootstrap", () => {
    const folder = packageWith([prebuilt]);
    expect(findNativeBuild).toThrow(expect.objectContaining({ code: "ERR_NATIVE_MISSING", file: join(folder, "prebuilds", platform, core), message: expect.stringContaining(`${core} is not beside it`) }));
  });

  it("is refused where the .node file is damaged", () => {
    const folder = packageWith([], { [prebuilt]: "no library", [`prebuilds/${platform}/${core}`]: "" });
    expect(findNativeBuild).toThrow(expect.objectContaining({ code: "ERR_NATIVE_MISSING", file: join(folder, prebuilt), message: expect.stringMatching(/is damaged.*npm run build/s) }));
  });
});
