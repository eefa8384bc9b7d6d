/** Where a command writes: stdout for results, stderr for everything else. */
export interface Terminal {
  /** Whether stderr is a terminal, on which a line can be rewritten. */
  readonly isInteractive: boolean;
  /** Writes a line of results. */
  out(line: string): void;
  /** Writes a line that is not a result. */
  err(line: string): void;
  /** Rewrites one line of stderr in place; nothing happens where stderr is no terminal. */
  progress(line: string): void;
  /** Takes the progress line away. */
  clearProgress(): void;
}

/** The process's own streams. */
export function processTerminal(): Terminal {
  let shown = false;
  const isInteractive = process.stderr.isTTY === true;
  const clearProgress = (): void => {
    if (shown) process.stderr.write("\r\x1b[2K");
    shown = false;
  };
  return {
    isInteractive,
    out: (line) => {
      clearProgress();
      process.stdout.write(`${printable(line)}\n`);
    },
    err: (line) => {
      clearProgress();
      process.stderr.write(`${printable(line)}\n`);
    },
    progress: (line) => {
      if (!isInteractive) return;
      const width = (process.stderr.columns ?? 80) - 1;
      process.stderr.write(`\r\x1b[2K${printable(line).slice(0, width)}`);
      shown = true;
    },
    clearProgress,
  };
}

/** A line without the characters that a terminal obeys: names of stocks, columns and files are others' text. */
export function printable(line: string): string {
  return line.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** A number for people: four decimals, `-` where there is none. */
export function decimals(value: number | null | undefined, digits = 4): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "-" : value.toFixed(digits);
}

/** Rows of as many cells under one another, two spaces apart; columns of numbers stand right. */
export function aligned(rows: readonly (readonly string[])[], isNumber: (column: number) => boolean): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => (isNumber(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join("  ").trimEnd());
}
