import { Command, Option } from "commander";
import { sourceNames } from "../binding/libtorch.js";
import { planSetup, type PlannedFile, type SetupPlan } from "../setup/plan.js";
import { megabytes, progressPrinter } from "../setup/progress.js";
import type { SetupOptions } from "../setup/request.js";
import { setup, type SetupResult } from "../setup/setup.js";
import { interruptible } from "./interrupt.js";

interface Written {
  variant: NonNullable<SetupOptions["variant"]>;
  from?: string;
  sha256?: string;
  force?: boolean;
  printPlan?: boolean;
  json?: boolean;
}

/** `astgnn setup`: finds LibTorch or fetches it into the user cache; progress goes to stderr, the outcome to stdout. */
export function setupCommand(): Command {
  return new Command("setup")
    .description("find LibTorch, or fetch it into the user cache")
    .addOption(new Option("--variant <name>", "cuda comes with the libraries for NVIDIA GPUs, 2.7 GB").choices(["cpu", "cuda"]).default("cpu"))
    .option("--from <path>", "install from a torch wheel (NVIDIA's wheels beside it), an official archive or an unpacked folder; no network")
    .option("--sha256 <hex>", "checksum that the archive, or the file of --from, must have")
    .option("--force", "fetch and replace what is in the cache even where a LibTorch is found")
    .option("--print-plan", "print what would be fetched, checked and written, and do nothing; exit code 1 where it would fail")
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nHonours HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, XDG_CACHE_HOME, ASTGNN_LIBTORCH_URL, and what pip is set to.")
    .action(async ({ json, printPlan, ...options }: Written) => {
      const printer = progressPrinter(process.stderr);
      try {
        const run = async (signal: AbortSignal): Promise<[object, string]> => {
          const all = { ...options, signal, onProgress: printer.show };
          if (printPlan !== true) {
            const result = await setup(all);
            return [result, text(result)];
          }
          const plan = await planSetup(all);
          if (plan.problems.length > 0) process.exitCode = 1;
          return [plan, planText(plan)];
        };
        const [result, lines] = await interruptible(run);
        printer.end();
        process.stdout.write(json === true ? `${JSON.stringify(result)}\n` : lines);
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

const sources: Record<SetupPlan["source"]["kind"], string> = { ...sourceNames, pip: "the package index, with", download: "the network, from", wheels: "the wheel", archive: "the archive", folder: "the folder" };

function planText({ action, version, variant, platform, source, files, target, space, skipped, problems }: SetupPlan): string {
  const lines = [
    `LibTorch ${version} (${variant}) for ${platform}: ${{ nothing: "nothing to do", install: "to install", replace: "to install, in place of what is there" }[action]}`,
    `source   ${sources[source.kind]} ${source.at}`,
    `target   ${target}`,
    `space    ${megabytes(space.neededBytes)} needed, ${megabytes(space.freeBytes)} free on the disk of ${space.folder}`,
    ...files.map((file) => `${file.action.padEnd(8)} ${fileText(file)}`),
    ...skipped.map(({ what, why }) => `skipped  ${what}: ${why}`),
    ...problems.map((problem) => `problem  ${problem}`),
  ];
  return `${lines.join("\n")}\n`;
}

function fileText({ name, bytes, sha256, action, hereBytes }: PlannedFile): string {
  const size = bytes === undefined ? "size unknown" : megabytes(bytes);
  return `${name}, ${size}${action === "resume" ? `, ${megabytes(hereBytes!)} are here` : ""}${sha256 === undefined ? "" : `, sha256 ${sha256}`}`;
}
