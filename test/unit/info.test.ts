import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { pinnedVersion } from "../../lib/binding/pinned.js";
import { libtorchFiles, scratch, write } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);

/** What `astgnn info` prints with nothing in the environment but these. */
function info(variables: NodeJS.ProcessEnv, ...args: string[]): string {
  const { status, stdout } = spawnSync(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), "info", ...args], { env: { PATH: "", ...variables }, encoding: "utf8" });
  expect(status).toBe(0);
  return stdout;
}

it("says which LibTorch is used, what else there is, and why that is not", () => {
  const cache = fresh();
  const named = write(fresh(), libtorchFiles(pinnedVersion));
  const [cpu, cuda] = ["cpu", "cuda"].map((variant) => join(cache, "astgnn", `libtorch-${pinnedVersion}-${variant}`)) as [string, string];
  write(cpu, libtorchFiles(pinnedVersion));
  write(cuda, libtorchFiles(pinnedVersion, { "lib/libc10.so": "" }));
  const text = info({ HOME: cache, XDG_CACHE_HOME: cache, LIBTORCH: named });
  expect(text).toContain(`LibTorch  ${pinnedVersion} (cpu) at ${named}\n`);
  expect(text).toContain("searched in this order: ASTGNN_LIBTORCH, LIBTORCH, the user cache, Python's torch\n");
  expect(text).toContain(`-> ${named} (LIBTORCH): used, the first that is complete and of the right version\n`);
  expect(text).toContain(` - ${cpu} (the user cache): could be used, but comes later\n`);
  expect(text).toContain(` - ${cuda} (the user cache): lib/libc10.so is empty\n`);
  // Whether the core of these tests has it depends on their machine's cargo; without a core it could not be told.
  expect(text).toMatch(/\nsolver {4}(Clarabel, for portfolios within limits|none: portfolios of risk parity alone .*|not known: .*)\n/);
  expect(text).toMatch(/core {6}\S+libastgnn_core\.\w+, built against LibTorch \d+\.\d+\.\d+\n/);
});

it("says that a refused folder of the environment keeps the others from being used", () => {
  const cache = fresh();
  write(join(cache, "astgnn", `libtorch-${pinnedVersion}-cpu`), libtorchFiles(pinnedVersion));
  const variables = { HOME: cache, XDG_CACHE_HOME: cache, ASTGNN_LIBTORCH: join(cache, "nowhere") };
  const text = info(variables);
  expect(text).toContain("LibTorch  none that can be used\n");
  expect(text).toMatch(/ - \S+nowhere \(ASTGNN_LIBTORCH\): no such folder\n[^]* - \S+cpu \(the user cache\): could be used, but for the refused one that the environment names\n/);
  expect(text).toMatch(/problems:\n- ASTGNN_LIBTORCH names \S+, which cannot be used: no such folder\. Ways out:\n\s+1\. unset ASTGNN_LIBTORCH/);
  expect(JSON.parse(info(variables, "--json"))).toMatchObject({ libtorch: null, looked: expect.arrayContaining([{ source: "ASTGNN_LIBTORCH", path: join(cache, "nowhere"), problem: "no such folder" }]), core: { libtorch: expect.any(String) } });
});
