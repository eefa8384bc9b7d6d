import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../binding/package-root.js";

/** Which build of LibTorch: `cpu` runs everywhere, `cuda` also on NVIDIA GPUs. */
export type Variant = "cpu" | "cuda";

/** One wheel that pip fetches, with the SHA-256 it must have where it was measured. */
export interface PinnedWheel {
  name: string;
  version: string;
  sha256?: string;
  /** Size of the file. */
  bytes?: number;
}

/** What can be fetched for one platform. */
export interface PlatformSources {
  pip?: {
    python: string;
    implementation: string;
    platforms: string[];
    /** Further platform tags that wheels of the cuda variant carry. */
    cudaPlatforms?: string[];
    wheels: PinnedWheel[];
    /** What the cuda variant needs besides: NVIDIA's libraries that the torch wheel's METADATA names, at the releases that pip chose for it. */
    cudaWheels?: PinnedWheel[];
  };
  /** NVIDIA's compiler and headers, for a build from source. */
  cudaToolkit?: { version: string; wheels: PinnedWheel[] };
  /** Address of the official CPU archive. */
  archive?: string;
}

interface Sources {
  libtorch: string;
  accepted: { from: string; to: string };
  platforms: Record<string, PlatformSources | undefined>;
}

const sources = JSON.parse(readFileSync(join(packageRoot, "scripts", "sources.json"), "utf8")) as Sources;

/** The one LibTorch version that is fetched and searched for. */
export const pinnedVersion: string = sources.libtorch;

/** Versions a build from source accepts when the user names the folder, both inclusive. */
export const acceptedVersions: { readonly from: string; readonly to: string } = sources.accepted;

/** What can be fetched for this platform; ASTGNN_LIBTORCH_URL replaces the archive's address. */
export function platformSources(env: NodeJS.ProcessEnv = process.env): PlatformSources {
  const known = sources.platforms[`${process.platform}-${process.arch}`] ?? {};
  const address = env["ASTGNN_LIBTORCH_URL"];
  return address === undefined || address === "" ? known : { ...known, archive: address };
}

/** The wheels of one variant. */
export function wheelsOf(pip: NonNullable<PlatformSources["pip"]>, variant: Variant): PinnedWheel[] {
  return variant === "cpu" ? pip.wheels : [...pip.wheels, ...(pip.cudaWheels ?? [])];
}

/** Folder that holds every LibTorch this package fetched. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const base = env["XDG_CACHE_HOME"];
  return join(base === undefined || !base.startsWith("/") ? join(env["HOME"] ?? homedir(), ".cache") : base, "astgnn");
}

/** Where a LibTorch of this version and variant lies in the cache. */
export function cachedPath(version: string, variant: Variant, env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(env), `libtorch-${version}-${variant}`);
}
