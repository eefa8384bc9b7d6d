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
  columns?: number;
  write(text: string): unknown;
}

// What takes seconds gets a line per quarter where there is no terminal.
const LONG_BYTES = 100e6;
const REDRAW_MS = 100;

/**
 * Prints progress: on a terminal a bar that is rewritten, with bytes and rate; elsewhere one line per stage, and per quarter of a long one.
 * Call `end` when all is done.
 *
 * @param now milliseconds of a clock that never goes back
 */
export function progressPrinter(output: Output, now: () => number = () => performance.now()): { show: OnProgress; end: () => void } {
  const isTerminal = output.isTTY === true;
  let stage = { message: "", since: 0, from: 0, quarter: 0, drawn: -Infinity };
  let isOpen = false;
  const figures = (bytes: number, totalBytes: number | undefined): string => {
    const seconds = (now() - stage.since) / 1000;
    const rate = seconds > 0 ? (bytes - stage.from) / seconds : 0;
    const speed = rate > 0 ? `, ${megabytes(rate)}/s` : "";
    if (totalBytes === undefined) return `${megabytes(bytes)}${speed}`;
    const left = rate > 0 && bytes < totalBytes ? `, ${duration((totalBytes - bytes) / rate)} left` : "";
    return `${Math.floor((100 * bytes) / Math.max(1, totalBytes))} % of ${megabytes(totalBytes)}${speed}${left}`;
  };
  const line = (text: string): void => void output.write(`astgnn: ${text}\n`);
  return {
    show({ message, bytes, totalBytes }) {
      const isNew = message !== stage.message;
      if (isNew) {
        if (isOpen) output.write("\n");
        isOpen = false;
        stage = { message, since: now(), from: bytes ?? 0, quarter: 0, drawn: -Infinity };
      }
      if (!isTerminal) {
        if (isNew) line(message);
        const quarter = bytes === undefined || totalBytes === undefined || totalBytes < LONG_BYTES ? 0 : Math.floor((4 * bytes) / totalBytes);
        if (quarter > stage.quarter) line(`${message}: ${figures(bytes!, totalBytes)}`);
        stage.quarter = Math.max(stage.quarter, quarter);
        return;
      }
      if (bytes !== totalBytes && now() - stage.drawn < REDRAW_MS) return;
      stage.drawn = now();
      const done = bytes === undefined ? "" : `${totalBytes === undefined ? "" : `${bar(bytes, totalBytes, 20)} `}${figures(bytes, totalBytes)} `;
      output.write(`\r\x1b[K${`astgnn: ${done}${message}`.slice(0, (output.columns ?? 80) - 1)}`);
      isOpen = true;
    },
    end() {
      if (isOpen) output.write("\n");
      isOpen = false;
    },
  };
}

/** A bar of `width` characters with `done` of `total` filled. */
export function bar(done: number, total: number, width = 24): string {
  const filled = total > 0 ? Math.min(width, Math.round((done / total) * width)) : 0;
  return `[${"#".repeat(filled)}${".".repeat(width - filled)}]`;
}

/** Bytes in the unit that downloads are quoted in. */
export function megabytes(bytes: number): string {
  return bytes < 1e10 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(0)} GB`;
}

/** Seconds as people say them: `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 === 0 ? "" : ` ${whole % 60} s`}`;
  const minutes = Math.ceil(seconds / 60);
  return `${Math.floor(minutes / 60)} h${minutes % 60 === 0 ? "" : ` ${minutes % 60} min`}`;
}
