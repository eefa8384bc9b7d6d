import type { z } from "zod";
import type { Flag, FlagGroup } from "./flags.js";

/**
 * The flags of a group of options, from what their schemas say: every option with a `help` in its metadata has one, named like it. Its values,
 * its default and what its text is turned into follow from the schema.
 */
export function flagsOf(title: string, shape: Readonly<Record<string, z.ZodType>>): FlagGroup {
  return { title, flags: Object.entries(shape).flatMap(([option, schema]) => flagOf(option, schema) ?? []) };
}

function flagOf(option: string, schema: z.ZodType): Flag | undefined {
  const { help, value, byDefault, kind: written, description = "" } = schema.meta() ?? {};
  if (help === undefined) return undefined;
  const name = `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const { inner, fallback } = unwrapped(schema);
  const kind = written ?? kindOf(inner);
  if (kind === "switch") return { flags: name, option, kind, help };
  // That a path is a path, the name of the value says.
  const values = written === undefined && description !== "" && !description.startsWith("the path of") ? `: ${spoken(description, kind)}` : "";
  const usual = byDefault ?? (fallback === undefined ? undefined : typed(fallback));
  return { flags: `${name} <${value ?? "value"}>`, option, kind, help: `${help}${values}${usual === undefined ? "" : ` (default: ${usual})`}` };
}

/** What a schema says of values that are given, and the value for those that are not. */
function unwrapped(schema: z.ZodType): { inner: Definition; fallback?: unknown } {
  let inner = schema.def as Definition;
  let fallback: unknown;
  while (inner.innerType !== undefined) {
    if (inner.type === "default") fallback = inner.defaultValue;
    inner = inner.innerType.def as Definition;
  }
  return { inner, fallback };
}

/** The parts of zod's definitions that are read here. */
interface Definition {
  type: string;
  innerType?: z.ZodType;
  defaultValue?: unknown;
  element?: z.ZodType;
  items?: readonly z.ZodType[];
  options?: readonly z.ZodType[];
}

function kindOf({ type, element, items, options }: Definition): Flag["kind"] {
  const isNumber = (schema: z.ZodType | undefined): boolean => schema !== undefined && unwrapped(schema).inner.type === "number";
  switch (type) {
    case "boolean":
      return "switch";
    case "array":
    case "tuple":
      return isNumber(element ?? items?.[0]) ? "scalars" : "texts";
    case "number":
      return "scalar";
    case "union":
      return options?.some(isNumber) === true ? "scalar" : "text";
    default:
      return "text";
  }
}

/** A description in the words of the command line: no quotes, lists with commas. */
function spoken(description: string, kind: Flag["kind"]): string {
  const plain = description.replaceAll('"', "");
  return kind === "scalars" || kind === "texts" ? `${plain.replace(/^a list of /, "")}, comma-separated` : plain;
}

/** A default as it would be typed. */
function typed(value: unknown): string {
  return Array.isArray(value) ? value.join(",") : String(value);
}
