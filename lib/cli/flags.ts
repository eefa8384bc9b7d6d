import { type Command, Option } from "commander";
import { AstgnnError } from "../errors.js";

/** What the text after a flag is turned into; whether it makes sense is for the library to say. */
type Kind = "switch" | "scalar" | "text" | "scalars" | "texts" | "scalarOrList" | "json" | "jsonOrTexts" | "pairs";

/** One flag and the library option it sets. */
export interface Flag {
  /** As commander takes it, e.g. `--window <dates>`. */
  readonly flags: string;
  /** Dotted path of the option in the object handed to the library, e.g. `label.lagDays`. */
  readonly option: string;
  readonly kind: Kind;
  readonly help: string;
  /** What a switch sets. Default true. */
  readonly value?: unknown;
}

/** Flags that belong together in `--help`. */
export interface FlagGroup {
  readonly title: string;
  readonly flags: readonly Flag[];
}

/** Adds the flags of a group to a command, under its title. */
export function addFlags(command: Command, group: FlagGroup): Command {
  for (const flag of group.flags) command.addOption(new Option(flag.flags, flag.help).helpGroup(`${group.title}:`));
  return command;
}

/** The options object that the flags given on the command line describe; flags not given leave nothing behind. */
export function optionsFrom(group: FlagGroup, written: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const flag of group.flags) {
    const text = written[new Option(flag.flags).attributeName()];
    if (text === undefined || text === false) continue;
    setAt(options, flag.option, parsed(flag, text));
  }
  return options;
}

/**
 * Rewrites a sentence of the library so that it speaks of flags: `window` becomes `--window`, `split.start` becomes `--start`.
 * Names that are also plain words change only where the sentence is about the option.
 */
export function inFlags(message: string, groups: readonly FlagGroup[]): string {
  for (const { flags, option, kind } of groups.flatMap((group) => group.flags)) {
    const isPlainWord = /^[a-z]+$/.test(option);
    const before = isPlainWord ? (kind === "switch" ? "(?<=\\b(?:for|with) )" : "(?<=\\bfor )") : "(?<![\\w.-])";
    message = message.replace(new RegExp(`${before}${option.replaceAll(".", "\\.")}(?![\\w-]|\\.\\w)`, "g"), new Option(flags).long!);
  }
  return message;
}

/** The same error with its message {@link inFlags}; what is no AstgnnError passes unchanged. */
export function namingFlags(error: unknown, groups: readonly FlagGroup[]): unknown {
  if (!(error instanceof AstgnnError)) return error;
  const message = inFlags(error.message, groups);
  if (message === error.message) return error;
  return new AstgnnError(error.code, message, { ...(error.option === undefined ? {} : { option: inFlags(`for ${error.option}`, groups).slice(4) }), cause: error });
}

function parsed(flag: Flag, value: unknown): unknown {
  if (flag.kind === "switch") return flag.value ?? true;
  if (flag.kind === "pairs") return Object.fromEntries([value].flat().map((text) => pair(flag, String(text))));
  const text = String(value);
  switch (flag.kind) {
    case "text":
      return text;
    case "texts":
      return pieces(text);
    case "scalars":
      return pieces(text).map(scalar);
    case "scalarOrList":
      return text.includes(",") ? pieces(text).map(scalar) : scalar(text);
    case "json":
      return isJson(text) ? json(flag, text) : scalar(text);
    case "jsonOrTexts":
      return isJson(text) ? json(flag, text) : pieces(text);
    default:
      return scalar(text);
  }
}

/** `name=value` as an entry of an object. */
function pair(flag: Flag, text: string): [string, string] {
  const at = text.indexOf("=");
  if (at > 0 && at + 1 < text.length) return [text.slice(0, at), text.slice(at + 1)];
  const name = new Option(flag.flags).long!;
  throw new AstgnnError("ERR_OPTION", `Expected name=column for ${name} but received ${JSON.stringify(text)}.`, { option: name, next: `Write e.g. ${name} close="Adj Close".` });
}

function pieces(text: string): string[] {
  return text.split(",").map((piece) => piece.trim()).filter((piece) => piece !== "");
}

/** A number where the text is one, else the text: the library's message then shows what was typed. */
function scalar(text: string): number | string {
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) ? number : text;
}

function isJson(text: string): boolean {
  return /^\s*[{[]/.test(text);
}

function json(flag: Flag, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const name = new Option(flag.flags).long!;
    throw new AstgnnError("ERR_OPTION", `The value of ${name} is not valid JSON: ${(cause as Error).message}.`, {
      option: name,
      next: "Put it in single quotes so that the shell leaves it alone.",
      cause,
    });
  }
}

function setAt(options: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split(".");
  let at = options;
  for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Record<string, unknown>;
  at[keys.at(-1)!] = value;
}
