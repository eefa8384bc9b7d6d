import type { Command } from "commander";

/** Flags that say how a command goes on or what it prints, not what it makes. */
const LEFT_OUT = new Set(["resume", "overwrite", "json", "debug"]);

/** The command as it was given, for somebody who wants the same again: a line for a shell. */
export function commandLine(command: Command): string {
  const flags = command.options.flatMap((option) => {
    const name = option.attributeName();
    const value: unknown = command.getOptionValue(name);
    if (command.getOptionValueSource(name) !== "cli" || LEFT_OUT.has(name) || option.long === undefined || option.long === null) return [];
    if (typeof value === "boolean") return value === !option.negate ? [option.long] : [];
    return [option.long, ...[value].flat().map((part) => quoted(String(part)))];
  });
  return ["astgnn", command.name(), ...flags].join(" ");
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
