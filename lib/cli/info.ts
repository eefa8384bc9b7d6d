import { Command } from "commander";
import { inspectInstallation, type Installation } from "../setup/installation.js";

/** `astgnn info`: versions, what was found where, devices, and what is missing. Exit code 0 also where something is. */
export function infoCommand(): Command {
  return new Command("info")
    .description("print versions, where LibTorch was found, devices, and what is missing")
    .option("--json", "print one JSON object")
    .action((options: { json?: boolean }) => {
      const installation = inspectInstallation();
      process.stdout.write(options.json === true ? `${JSON.stringify(installation, null, 2)}\n` : text(installation));
    });
}

function text({ version, node, platform, libtorch, looked, cpu, devices, problems }: Installation): string {
  const refused = looked.filter(({ problem }) => problem !== undefined);
  const lines = [
    `astgnn    ${version} (Node.js ${node}, ${platform})`,
    `LibTorch  ${libtorch === null ? "not found" : `${libtorch.version} (${libtorch.variant}) at ${libtorch.path}, from ${sourceNames[libtorch.source]}`}`,
    ...refused.map(({ path, problem }) => `          not ${path}: ${problem}`),
    `CPU       ${cpu.isa}`,
    `devices   ${devices.length === 0 ? "none" : devices.join(", ")}`,
    problems.length === 0 ? "no problems found" : `problems:\n${problems.map((problem) => `- ${problem.replaceAll("\n", "\n  ")}`).join("\n")}`,
  ];
  return `${lines.join("\n")}\n`;
}

const sourceNames = { ASTGNN_LIBTORCH: "ASTGNN_LIBTORCH", LIBTORCH: "LIBTORCH", cache: "the user cache", python: "Python's torch" };
