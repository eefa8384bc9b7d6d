import { Command } from "commander";
import { sourceNames, type LookedAt } from "../binding/libtorch.js";
import { inspectInstallation, type Installation } from "../setup/installation.js";

/** `astgnn info`: versions, what is used and why, what else was looked at, devices, and what is missing. Exit code 0 also where something is. */
export function infoCommand(): Command {
  return new Command("info")
    .description("print versions, which LibTorch is used and why, devices, and what is missing")
    .option("--json", "print one JSON object")
    .action((options: { json?: boolean }) => {
      const installation = inspectInstallation();
      process.stdout.write(options.json === true ? `${JSON.stringify(installation, null, 2)}\n` : text(installation));
    });
}

function text({ version, node, platform, libtorch, looked, core, cpu, solver, devices, problems }: Installation): string {
  const lines = [
    `astgnn    ${version} (Node.js ${node}, ${platform})`,
    `core      ${core === null ? "not found" : `${core.path}, built against LibTorch ${core.libtorch}`}`,
    `LibTorch  ${libtorch === null ? "none that can be used" : `${libtorch.version} (${libtorch.variant}) at ${libtorch.path}`}`,
    `          searched in this order: ${Object.values(sourceNames).join(", ")}`,
    ...looked.map((place) => `          ${place.isUsed === true ? "->" : " -"} ${place.path} (${sourceNames[place.source]}): ${reason(place, libtorch === null)}`),
    `CPU       ${cpu.isa}`,
    `solver    ${solver === null ? "not known: the core does not load" : solver ? "Clarabel, for portfolios within limits" : "none: portfolios of risk parity alone (docs/install.md: cargo)"}`,
    `devices   ${devices.length === 0 ? "none" : devices.join(", ")}`,
    problems.length === 0 ? "no problems found" : `problems:\n${problems.map((problem) => `- ${problem.replaceAll("\n", "\n  ")}`).join("\n")}`,
  ];
  return `${lines.join("\n")}\n`;
}

function reason({ problem, isUsed }: LookedAt, isNoneUsed: boolean): string {
  if (isUsed === true) return "used, the first that is complete and of the right version";
  return problem ?? (isNoneUsed ? "could be used, but for the refused one that the environment names" : "could be used, but comes later");
}
