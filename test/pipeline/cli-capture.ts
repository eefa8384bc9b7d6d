import { main } from "../../lib/cli/program.js";

/** What a command line printed and its exit code. */
export interface Captured {
  code: number;
  out: string;
  err: string;
}

/** Runs a command line in this process. */
export async function astgnn(...argv: string[]): Promise<Captured> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await main(argv, { isInteractive: false, out: (line) => void out.push(line), err: (line) => void err.push(line), progress: () => {}, clearProgress: () => {} });
  return { code, out: out.join("\n"), err: err.join("\n") };
}
