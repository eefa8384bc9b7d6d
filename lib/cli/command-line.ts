import type { Command } from "commander";

/** Flags that say how a command goes on or what it prints, not what it makes. */
const LEFT_OUT = new Set(["resume", "overwrite", "json", "debug"]);

/** The command as it was given, for somebody who wants the same again: a line for a shell. */
export function commandLine(command: Command): string {
  const flags = given(command, LEFT_OUT).flatMap(({ flag, values }) => [flag, ...values.map(quoted)]);
  return ["astgnn", command.name(), ...flags].join(" ");
}

/** The flags that were given, each a word of its own with its value, as the same command or another reads them. */
export function givenFlags(command: Command, leftOut: ReadonlySet<string>): string[] {
  return given(command, leftOut).flatMap(({ flag, values }) => (values.length === 0 ? [flag] : values.map((value) => `${flag}=${value}`)));
}

function given(command: Command, leftOut: ReadonlySet<string>): { flag: string; values: string[] }[] {
  return command.options.flatMap((option) => {
    const name = option.attributeName();
    const value: unknown = command.getOptionValue(name);
    if (command.getOptionValueSource(name) !== "cli" || leftOut.has(name) || option.long === undefined || option.long === null) return [];
    if (typeof value === "boolean") return value === !option.negate ? [{ flag: option.long, values: [] }] : [];
    return [{ flag: option.long, values: [value].flat().map(String) }];
  });
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
