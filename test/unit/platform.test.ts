import { expect, it } from "vitest";
import { readElf } from "../../lib/binding/elf.js";
import { platformProblem, runningGlibc } from "../../lib/binding/platform.js";

it.each([
  ["win32", "x64", /^This is win32-x64; astgnn runs on Linux x64 with glibc 2\.28 or newer.* Use it in WSL 2/],
  ["linux", "ia32", /^This is linux-ia32; .* Install a 64-bit Node\.js/],
  ["linux", "riscv64", /^This is linux-riscv64; /],
  ["darwin", "x64", /^This is darwin-x64; /],
])("says what %s on %s lacks and what to use instead", (platform, arch, message) => {
  const problem = platformProblem({ platform, arch });
  expect(problem?.code).toBe("ERR_NATIVE_MISSING");
  expect(problem?.message).toMatch(message);
});

it("knows musl by the loader that Node.js asks for", () => {
  const problem = platformProblem({ platform: "linux", arch: "x64", interpreter: "/lib/ld-musl-x86_64.so.1" });
  expect(problem?.code).toBe("ERR_NATIVE_MISSING");
  expect(problem?.message).toMatch(/built for musl, as on Alpine Linux \(its loader is \/lib\/ld-musl-x86_64\.so\.1\), and LibTorch exists for glibc only; .* Use an image with glibc, such as `node:22-bookworm-slim`/);
});

it.each([
  ["linux", "x64", "/lib64/ld-linux-x86-64.so.2"],
  ["linux", "arm64", "/lib/ld-linux-aarch64.so.1"],
  ["darwin", "arm64", undefined],
  ["linux", "x64", undefined],
])("has nothing against %s on %s with the loader %s", (platform, arch, interpreter) => {
  expect(platformProblem({ platform, arch, ...(interpreter === undefined ? {} : { interpreter }) })).toBeUndefined();
});

it.runIf(process.platform === "linux")("reads the loader of the Node.js that runs, and has nothing against it", () => {
  expect(readElf(process.execPath)).toMatchObject({ interpreter: expect.stringMatching(/^\/lib.*\/ld-linux.*\.so\.\d$/), needed: expect.arrayContaining(["libc.so.6"]) });
  expect(platformProblem()).toBeUndefined();
  expect(runningGlibc()).toMatch(/^2\.\d+$/);
});
