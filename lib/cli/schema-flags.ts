import type { z } from "zod";
import type { Flag, FlagGroup } from "./flags.js";

/** What a flag says beyond the schema of its option. */
interface Words {
  help: string;
  /** What the value is called, e.g. `width`. */
  value?: string;
  /** The default in words, where the schema has none or another rule applies. */
  byDefault?: string;
  /** How the text is read, where the schema does not tell; `help` then says which values there are. */
  kind?: Flag["kind"];
  /** Name of the flag, where it is not the option's. */
  name?: string;
}

/**
 * The flags of a group of options, from what their schemas say: every option with a `help` in its metadata has one, named like it. Its values,
 * its default and what its text is turned into follow from the schema.
 */
export function flagsOf(title: string, shape: Readonly<Record<string, z.ZodType>>): FlagGroup {
  return {
    title,
    flags: Object.entries(shape).flatMap(([option, schema]) => {
      const { help, ...words } = schema.meta() ?? {};
      return help === undefined ? [] : [flagOf(option, schema, { help, ...words })];
    }),
  };
}

/** The flag of one option. */
export function flagOf(option: string, schema: z.ZodType, { help, value, byDefault, kind: written, name }: Words): Flag {
  const flag = `--${name ?? option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const { inner, fallback } = unwrapped(schema);
  const kind = written ?? kindOf(inner);
  if (kind === "switch") return { flags: flag, option, kind, help };
  const { description = "" } = schema.meta() ?? {};
  // That a path is a path and a name a name, the name of the value says.
  const isToldByName = /^(the path of |a path$|a column name$|a list of column names$)/.test(description);
  const isToldByHelp = written !== undefined && written !== "scalarOrList";
  const values = isToldByHelp ? "" : description !== "" && !isToldByName ? `: ${spoken(description, kind)}` : isList(kind) ? ", comma-separated" : "";
  const usual = byDefault ?? (fallback === undefined ? undefined : typed(fallback));
  return { flags: `${flag} <${value ?? "value"}>`, option, kind, help: `${help}${values}${usual === undefined ? "" : ` (default: ${usual})`}` };
}

const isList = (kind: Flag["kind"]): boolean => kind === "scalars" || kind === "texts" || kind === "scalarOrList";

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
  return isList(kind) ? `${plain.replace(/^a list of /, "")}, comma-separated` : plain;
}

/** A default as it would be typed. */
function typed(value: unknown): string {
  return Array.isArray(value) ? value.join(",") : String(value);
}
