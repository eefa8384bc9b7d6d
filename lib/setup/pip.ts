import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { AstgnnError } from "../errors.js";
import { aborted, sha256Of } from "./checksum.js";
import { bytesOf } from "./disk.js";
import type { OnProgress } from "./progress.js";
import type { Variant } from "../binding/pinned.js";
import { wheelsOf, type PinnedWheel, type PlatformSources } from "./sources.js";

/** How to start pip: the program and its first arguments. */
export type PipCommand = readonly string[];

/** A wheel on disk and its SHA-256. */
export interface FetchedFile {
  file: string;
  sha256: string;
}

interface FetchOptions {
  pip: PipCommand;
  sources: NonNullable<PlatformSources["pip"]>;
  /** Folder that keeps complete wheels until they are unpacked. */
  into: string;
  variant: Variant;
  env: NodeJS.ProcessEnv;
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}

/** The first pip that answers: pip, pip3 or python3 -m pip. */
export async function findPip(env: NodeJS.ProcessEnv = process.env): Promise<PipCommand | undefined> {
  for (const command of [["pip"], ["pip3"], ["python3", "-m", "pip"]]) {
    const result = await run([...command, "--version"], env);
    if (result.ok) return command;
  }
  return undefined;
}

/**
 * Fetches the pinned wheels of a variant with pip. A wheel that is already in the folder with the right checksum is not fetched again.
 *
 * @throws AstgnnError ERR_DOWNLOAD, ERR_ABORTED
 */
export async function fetchWheels(options: FetchOptions): Promise<FetchedFile[]> {
  const fetched: FetchedFile[] = [];
  const missing: PinnedWheel[] = [];
  for (const wheel of wheelsOf(options.sources, options.variant)) {
    const there = await wheelIn(options.into, wheel, options.onProgress, options.signal);
    if (there === undefined) missing.push(wheel);
    else fetched.push(there);
  }
  for (const { file, sha256 } of await download(missing, options)) {
    const wheel = missing.find((candidate) => isWheelOf(basename(file), candidate));
    if (wheel?.sha256 !== undefined && wheel.sha256 !== sha256) {
      await rm(file, { force: true });
      throw new AstgnnError("ERR_DOWNLOAD", `${basename(file)} has SHA-256 ${sha256}, expected ${wheel.sha256}.`, {
        file,
        next: "Run `npx astgnn setup` again; if it repeats, the package index that pip uses serves another file.",
      });
    }
    fetched.push({ file, sha256 });
  }
  return fetched;
}

/** The wheel in the folder, whole and with the pinned checksum, or undefined. */
export async function wheelIn(folder: string, wheel: PinnedWheel, onProgress?: OnProgress, signal?: AbortSignal): Promise<FetchedFile | undefined> {
  const name = (await readdir(folder).catch(() => [])).find((each) => isWheelOf(each, wheel));
  if (name === undefined) return undefined;
  const file = join(folder, name);
  const sha256 = await sha256Of(file, onProgress, signal);
  return sha256 === (wheel.sha256 ?? sha256) ? { file, sha256 } : undefined;
}

/** Runs one pip download into a folder of this process and moves what is complete into `into`. */
async function download(wheels: readonly PinnedWheel[], options: FetchOptions): Promise<FetchedFile[]> {
  if (wheels.length === 0) return [];
  const { sources, onProgress, signal } = options;
  await mkdir(options.into, { recursive: true });
  const own = await mkdtemp(join(options.into, `pip-${process.pid}-`));
  const requirements = wheels.map(({ name, version }) => `${name}==${version}`);
  const message = `downloading ${requirements.join(", ").replaceAll("==", " ")} with pip`;
  const totalBytes = wheels.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  onProgress?.({ stage: "download", message });
  // pip shows no progress to programs, so the growth of its temporary folder is watched.
  let downloading = true;
  const watch = setInterval(() => {
    void bytesOf(own).then((bytes) => {
      if (downloading) onProgress?.({ stage: "download", message, ...(totalBytes > 0 ? { bytes: Math.min(bytes, totalBytes), totalBytes } : { bytes }) });
    });
  }, 500);
  try {
    const tags = options.variant === "cuda" ? [...sources.platforms, ...(sources.cudaPlatforms ?? [])] : sources.platforms;
    const platforms = tags.flatMap((platform) => ["--platform", platform]);
    const target = ["--only-binary=:all:", "--no-deps", "--python-version", sources.python, "--implementation", sources.implementation, ...platforms];
    // From 25.1 on pip goes on where a connection was cut, if it is told to; an older one begins that wheel again.
    const env = { PIP_RESUME_RETRIES: "5", ...options.env, TMPDIR: own };
    const result = await run([...options.pip, "download", "--disable-pip-version-check", "--dest", join(own, "wheels"), ...target, ...requirements], env, signal);
    downloading = false;
    if (signal?.aborted) throw aborted(signal);
    if (!result.ok) {
      throw new AstgnnError("ERR_DOWNLOAD", `pip could not download ${requirements.join(", ")}: ${lastErrors(result.output)}`, {
        next: "Check pip's network and index settings, or fetch the files elsewhere and run `npx astgnn setup --from <folder>`.",
      });
    }
    const files: FetchedFile[] = [];
    for (const name of await readdir(join(own, "wheels"))) {
      const sha256 = await sha256Of(join(own, "wheels", name), onProgress, signal);
      await rename(join(own, "wheels", name), join(options.into, name));
      files.push({ file: join(options.into, name), sha256 });
    }
    return files;
  } finally {
    downloading = false;
    clearInterval(watch);
    await rm(own, { recursive: true, force: true });
  }
}

/** Whether a file name is the wheel of this project and version. */
export function isWheelOf(fileName: string, wheel: { name: string; version: string }): boolean {
  return fileName.endsWith(".whl") && fileName.toLowerCase().replaceAll("_", "-").startsWith(`${wheel.name}-${wheel.version}-`);
}

function lastErrors(output: string): string {
  const lines = output.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const errors = lines.filter((line) => /^ERROR/.test(line));
  return (errors.length > 0 ? errors : lines).slice(-3).join(" ").replace(/\.?$/, ".");
}

function run(command: readonly string[], env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command[0]!, command.slice(1), { env, stdio: ["ignore", "pipe", "pipe"], ...(signal === undefined ? {} : { signal }) });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", (error) => (output += error.message));
    child.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}
