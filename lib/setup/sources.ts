import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../binding/package-root.js";
import type { Variant } from "../binding/pinned.js";

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

const { platforms } = JSON.parse(readFileSync(join(packageRoot, "scripts", "sources.json"), "utf8")) as { platforms: Record<string, PlatformSources | undefined> };

/** What can be fetched for this platform; ASTGNN_LIBTORCH_URL replaces the archive's address. */
export function platformSources(env: NodeJS.ProcessEnv = process.env): PlatformSources {
  const known = platforms[`${process.platform}-${process.arch}`] ?? {};
  const address = env["ASTGNN_LIBTORCH_URL"];
  return address === undefined || address === "" ? known : { ...known, archive: address };
}

/** The wheels of one variant. */
export function wheelsOf(pip: NonNullable<PlatformSources["pip"]>, variant: Variant): PinnedWheel[] {
  return variant === "cpu" ? pip.wheels : [...pip.wheels, ...(pip.cudaWheels ?? [])];
}
