import { basename, join, resolve } from "node:path";
import { entryLibraries, inspectLibTorch, loadOrder, searchLibTorch, waysOut, type LibTorch } from "../binding/libtorch.js";
import { platformProblem } from "../binding/platform.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { readLocalSource, type LocalSource } from "./local.js";
import { findPip, type PipCommand } from "./pip.js";
import type { OnProgress } from "./progress.js";
import { cacheFolder, cachedPath, pinnedVersion, type Variant } from "../binding/pinned.js";
import { platformSources, type PlatformSources } from "./sources.js";

/** Options of a set-up. */
export interface SetupOptions {
  /** `cpu` (default) or `cuda`, which also fetches NVIDIA's libraries (2.7 GB). */
  variant?: Variant | undefined;
  /** Install from this wheel, archive or folder instead of the network. */
  from?: string | undefined;
  /** SHA-256 that the archive (or the file named by `from`) must have, hexadecimal. */
  sha256?: string | undefined;
  /** Replace what is in the cache, and fetch even where the environment or Python has a LibTorch; default false. */
  force?: boolean | undefined;
  /** Environment to read; default process.env. */
  env?: NodeJS.ProcessEnv | undefined;
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}

/** Options that were checked, with every path they lead to. */
export interface SetupRequest extends SetupOptions {
  env: NodeJS.ProcessEnv;
  variant: Variant;
  /** Folder of the user cache that the LibTorch will be. */
  target: string;
  /** Folder that keeps what was fetched until it is unpacked. */
  downloads: string;
}

/** Where the files of a set-up come from. */
export type Source = { kind: "pip"; pip: PipCommand; sources: NonNullable<PlatformSources["pip"]> } | { kind: "download"; url: string; file: string } | LocalSource;

/** Checks the options. */
export function resolveSetup(options: SetupOptions): SetupRequest {
  const { variant = "cpu", sha256, env = process.env } = options;
  if (variant !== "cpu" && variant !== "cuda") throw invalidOption("variant", "cpu or cuda", variant);
  if (sha256 !== undefined && !/^[0-9a-fA-F]{64}$/.test(sha256)) throw invalidOption("sha256", "64 hexadecimal digits", sha256);
  return { ...options, variant, env, target: cachedPath(pinnedVersion, variant, env), downloads: join(cacheFolder(env), `downloads-${pinnedVersion}`) };
}

/** The LibTorch that makes a set-up unnecessary, if there is one: whole for the variant, where a search asks for the CPU's part only. */
export function alreadyThere({ env, variant, target, from, force }: SetupRequest): LibTorch | undefined {
  if (force === true) return undefined;
  if (from === undefined) {
    const { found } = searchLibTorch({ env, build: true, ...(variant === "cuda" ? { variant } : {}) });
    return found !== undefined && isWhole(found.path, variant) ? found : undefined;
  }
  const cached = inspectLibTorch(target, true);
  return "problem" in cached || cached.version !== pinnedVersion || cached.variant !== variant || !isWhole(target, variant) ? undefined : { ...cached, source: "cache" };
}

function isWhole(path: string, variant: Variant): boolean {
  const { missing, damaged } = loadOrder(path, ...entryLibraries[variant]);
  return missing.length === 0 && damaged.length === 0;
}

/**
 * Chooses the source: what `from` names, else pip, else the official archive. Looks at files and for pip, and fetches nothing.
 *
 * @returns the source, and the better ones that were passed over, with the reason
 * @throws AstgnnError ERR_NATIVE_MISSING where the platform can use none, ERR_DOWNLOAD, ERR_DATA
 */
export async function chooseSource(request: SetupRequest): Promise<{ source: Source; passedOver: { what: string; why: string }[] }> {
  const { env, variant } = request;
  if (request.from !== undefined) return { source: await readLocalSource(resolve(request.from), request), passedOver: [] };
  const problem = platformProblem();
  if (problem !== undefined) throw problem;
  const sources = platformSources(env);
  const isOverridden = (env["ASTGNN_LIBTORCH_URL"] ?? "") !== "";
  const pip = sources.pip === undefined || isOverridden ? undefined : await findPip(env);
  if (pip !== undefined) return { source: { kind: "pip", pip, sources: sources.pip! }, passedOver: [] };
  if (variant === "cuda" || sources.archive === undefined) {
    const reason =
      sources.pip === undefined ? `no LibTorch ${pinnedVersion} (${variant}) is listed for ${process.platform}-${process.arch}` : `the ${variant} variant is fetched with pip, and ${isOverridden ? "ASTGNN_LIBTORCH_URL names an archive instead" : "there is no pip here"}`;
    throw new AstgnnError("ERR_DOWNLOAD", `LibTorch cannot be fetched: ${reason}.`, { next: waysOut(pinnedVersion, isOverridden ? "unset ASTGNN_LIBTORCH_URL" : "install pip (`sudo apt-get install python3-pip`)") });
  }
  const url = sources.archive;
  const file = join(request.downloads, decodeURIComponent(basename(new URL(url).pathname)) || "libtorch.zip");
  const why = isOverridden ? "ASTGNN_LIBTORCH_URL names an archive" : sources.pip === undefined ? `no wheels are listed for ${process.platform}-${process.arch}` : "there is no pip on the PATH";
  return { source: { kind: "download", url, file }, passedOver: [{ what: "pip", why }] };
}
