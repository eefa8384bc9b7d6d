import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { AstgnnError } from "../../errors.js";
import type { PanelSource } from "../source/panel-source.js";

/** A file as it was when it was read. */
export interface SourceStamp {
  readonly file: string;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  readonly sha256: string;
}

/** Stamps of the files that a source names; none for queries, patterns and what is elsewhere. */
export async function stampsOf(source: PanelSource | null): Promise<SourceStamp[]> {
  const files = typeof source === "string" ? [source] : Array.isArray(source) ? (source as readonly string[]) : [];
  const stamps: SourceStamp[] = [];
  for (const file of files) {
    const found = await stat(file).catch(() => undefined);
    if (found?.isFile() === true) stamps.push({ file, bytes: found.size, modified: found.mtimeMs, sha256: await sha256Of(file) });
  }
  return stamps;
}

/** @throws AstgnnError ERR_DATA where one of the files holds something else by now; one that is gone is no matter */
export async function refuseChanged(pack: string, stamps: readonly SourceStamp[]): Promise<void> {
  for (const { file, bytes, modified, sha256 } of stamps) {
    const now = await stat(file).catch(() => undefined);
    // Whoever signs a header anew may name a device that never ends.
    if (now?.isFile() !== true || (now.size === bytes && (now.mtimeMs === modified || (await sha256Of(file)) === sha256))) continue;
    throw new AstgnnError("ERR_DATA", `${file} has changed since it was packed into ${pack}.`, { file, next: "Pack it again." });
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(piece as Buffer);
  return hash.digest("hex");
}
