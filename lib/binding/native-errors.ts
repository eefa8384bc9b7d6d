import { AstgnnError, type ErrorCode } from "../errors.js";
import type { NativeCore } from "./types.js";

/** Where a native failure came from, beyond its code and message; set on the error where known. */
export interface NativeFailureDetails {
  /** Training step, from 1. */
  step?: number;
  /** Index into the panel's dates. */
  dateIndex?: number;
  /** Term of the objective. */
  term?: string;
}

/** The JavaScript error of a native failure: the package's error class, with the stack of the call that started the job. */
export type NativeError = AstgnnError & NativeFailureDetails;

/** Makes the core throw AstgnnError, and end its jobs with the process: a compute thread that outlives Node's environment would crash it. */
export function prepareCore(core: NativeCore): void {
  core.setErrorFactory((code, message, details, site) => {
    const error = Object.assign(new AstgnnError(code as ErrorCode, message), details);
    if (site?.stack !== undefined) error.stack = `${error.name}: ${message}\n${site.stack.split("\n").slice(1).join("\n")}`;
    return error;
  });
  process.on("exit", () => core.shutdown());
}
