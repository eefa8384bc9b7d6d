import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "./package-root.js";

/** Which build of LibTorch: `cpu` runs everywhere, `cuda` also on NVIDIA GPUs. */
export type Variant = "cpu" | "cuda";

const { libtorch, accepted } = JSON.parse(readFileSync(join(packageRoot, "scripts", "sources.json"), "utf8")) as { libtorch: string; accepted: { from: string; to: string } };

/** The one LibTorch version that is fetched and searched for. */
export const pinnedVersion: string = libtorch;

/** Versions a build from source accepts when the user names the folder, both inclusive. */
export const acceptedVersions: { readonly from: string; readonly to: string } = accepted;

/** Folder that holds every LibTorch this package fetched. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const base = env["XDG_CACHE_HOME"];
  return join(base === undefined || !base.startsWith("/") ? join(env["HOME"] ?? homedir(), ".cache") : base, "astgnn");
}

/** Where a LibTorch of this version and variant lies in the cache. */
export function cachedPath(version: string, variant: Variant, env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(env), `libtorch-${version}-${variant}`);
}
