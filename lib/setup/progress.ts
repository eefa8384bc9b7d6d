/** What a set-up is doing. `bytes` of `totalBytes` are done in this stage, where they are known. */
export interface SetupProgress {
  stage: "wait" | "download" | "verify" | "unpack" | "install";
  /** One line for people, e.g. `downloading torch 2.15.0 with pip`. */
  message: string;
  bytes?: number;
  totalBytes?: number;
}

/** Receives the progress of a set-up. */
export type OnProgress = (progress: SetupProgress) => void;

interface Output {
  isTTY?: boolean;
  write(text: string): unknown;
}

/** Prints progress: a line that is rewritten on a terminal, one line per stage elsewhere. Call `end` when all is done. */
export function progressPrinter(output: Output): { show: OnProgress; end: () => void } {
  let last = "";
  let open = false;
  return {
    show({ message, bytes, totalBytes }) {
      if (output.isTTY !== true) {
        if (message !== last) output.write(`astgnn: ${message}\n`);
        last = message;
        return;
      }
      const share = bytes === undefined ? "" : totalBytes === undefined ? `, ${megabytes(bytes)}` : `, ${Math.floor((100 * bytes) / Math.max(1, totalBytes))} % of ${megabytes(totalBytes)}`;
      if (open && message !== last) output.write("\n");
      output.write(`\r\x1b[Kastgnn: ${message}${share}`);
      last = message;
      open = true;
    },
    end() {
      if (open) output.write("\n");
      open = false;
    },
  };
}

/** Bytes in the unit that downloads are quoted in. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
