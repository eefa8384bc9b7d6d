import { Command, Option } from "commander";
import { progressPrinter } from "../setup/progress.js";
import { setup, type SetupOptions, type SetupResult } from "../setup/setup.js";
import { interruptible } from "./interrupt.js";

interface Written {
  variant: NonNullable<SetupOptions["variant"]>;
  from?: string;
  sha256?: string;
  force?: boolean;
  json?: boolean;
}

/** `astgnn setup`: finds LibTorch or fetches it into the user cache; progress goes to stderr, the outcome to stdout. */
export function setupCommand(): Command {
  return new Command("setup")
    .description("find LibTorch, or fetch it into the user cache")
    .addOption(new Option("--variant <name>", "cuda comes with the libraries for NVIDIA GPUs, about 3 GB").choices(["cpu", "cuda"]).default("cpu"))
    .option("--from <path>", "install from a torch wheel (NVIDIA's wheels beside it), an official archive or an unpacked folder; no network")
    .option("--sha256 <hex>", "checksum that the archive, or the file of --from, must have")
    .option("--force", "fetch and replace what is in the cache even where a LibTorch is found")
    .option("--json", "print one JSON object")
    .action(async ({ json, ...options }: Written) => {
      const printer = progressPrinter(process.stderr);
      try {
        const result = await interruptible((signal) => setup({ ...options, signal, onProgress: printer.show }));
        printer.end();
        process.stdout.write(json === true ? `${JSON.stringify(result)}\n` : text(result));
      } finally {
        printer.end();
      }
    });
}

function text({ path, version, variant, source, files }: SetupResult): string {
  const lines = [source === "fetched" ? `LibTorch ${version} (${variant}) is now at ${path}` : `LibTorch ${version} (${variant}) is already at ${path}`];
  for (const { name, sha256 } of files) lines.push(`  ${sha256}  ${name}`);
  return `${lines.join("\n")}\n`;
}
