import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { AstgnnError } from "../errors.js";
import type { OnProgress } from "./progress.js";

/** SHA-256 of a file in hexadecimal. */
export async function sha256Of(file: string, onProgress?: OnProgress, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const totalBytes = (await stat(file)).size;
  let bytes = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    if (signal?.aborted) throw aborted(signal);
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    onProgress?.({ stage: "verify", message: `checking ${basename(file)}`, bytes, totalBytes });
  }
  return hash.digest("hex");
}

/** The error of a set-up that was cancelled. */
export function aborted(signal: AbortSignal): AstgnnError {
  return new AstgnnError("ERR_ABORTED", "The set-up was cancelled.", { cause: signal.reason, next: "Run it again: what was fetched completely is not fetched twice." });
}
