import type { z } from "zod";
import { AstgnnError, invalidOption, nearest } from "./errors.js";

declare module "zod" {
  interface GlobalMeta {
    /** What the option is, for `--help`; an option with this has a flag. */
    help?: string;
    /** What the flag's value is called, e.g. `width`. */
    value?: string;
    /** The default in words, where the schema has none. */
    byDefault?: string;
    /** How the flag's text is read, where the schema does not tell. Its help then says all of it. */
    kind?: "json";
  }
}

/**
 * Checks what a user wrote against a zod schema and returns the resolved, complete options.
 * Schemas are strict objects; each field's `.describe()` says what is expected in the words of a message
 * ("a whole number from 1"). Unknown keys name the nearest known one.
 *
 * @throws AstgnnError ERR_OPTION naming the option
 */
export function resolveOptions<S extends z.ZodType>(schema: S, written: unknown, subject: string): z.output<S> {
  const result = schema.safeParse(written ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const name = path === "" ? key : `${path}.${key}`;
    const known = objectKeys(schemaAt(schema, issue.path));
    const near = nearest(key, known);
    throw new AstgnnError("ERR_OPTION", `Unknown option ${name} of ${subject}.`, {
      option: name,
      next: near === undefined ? `Known options: ${known.join(", ")}.` : `Did you mean ${near}?`,
    });
  }
  const expected = schemaAt(schema, issue.path)?.description ?? issue.message.replace(/^Invalid input: expected /, "");
  throw invalidOption(path === "" ? subject : path, expected, valueAt(written, issue.path));
}

/**
 * Checks what a file says against a zod schema before anything relies on it; files of other versions may say more.
 *
 * @throws AstgnnError ERR_CHECKPOINT naming file and field
 */
export function checkStored<S extends z.ZodType>(schema: S, value: unknown, file: string, next: string): z.output<S> {
  const result = schema.safeParse(value);
  // As it was written, names in their order: it may be written again.
  if (result.success) return value as z.output<S>;
  const { path, message } = result.error.issues[0]!;
  const field = path.length === 0 ? "its content" : path.map(String).join(".");
  throw new AstgnnError("ERR_CHECKPOINT", `${file} cannot be used: ${field}: ${message}.`, { file, next, cause: result.error });
}

/** What callers hand over where TypeScript did not look. @throws AstgnnError ERR_OPTION */
export function requireText(value: unknown, name: string, expected = "text"): asserts value is string {
  if (typeof value !== "string") throw invalidOption(name, expected, value);
}

/** @throws AstgnnError ERR_OPTION */
export function requireTexts(values: unknown, name: string, expected: string): asserts values is readonly string[] {
  if (!Array.isArray(values) || !values.every((value) => typeof value === "string")) throw invalidOption(name, expected, values);
}

/** @throws AstgnnError ERR_OPTION where it is no array of numbers, of `length` where that is given */
export function requireNumbers(values: unknown, name: string, length?: number): asserts values is ArrayLike<number> {
  const isList = Array.isArray(values) ? values.every((value) => typeof value === "number") : ArrayBuffer.isView(values) && !(values instanceof DataView) && !(values instanceof BigInt64Array) && !(values instanceof BigUint64Array);
  if (!isList || (length !== undefined && (values as ArrayLike<number>).length !== length)) throw invalidOption(name, length === undefined ? "an array of numbers" : `an array of ${length} numbers`, values);
}

/** @throws AstgnnError ERR_OPTION where it is no object, or one that lacks a part that the real ones have */
export function requireObject(value: unknown, name: string, expected: string, ...parts: string[]): asserts value is object {
  if (typeof value !== "object" || value === null || !parts.every((part) => part in value)) throw invalidOption(name, expected, value);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at === null || at === undefined ? undefined : (at as Record<PropertyKey, unknown>)[key]), value);
}

interface AnySchema {
  description?: string;
  shape?: Record<PropertyKey, AnySchema>;
  element?: AnySchema;
  options?: AnySchema[];
  unwrap?: () => AnySchema;
}

/** Follows an issue's path through objects, arrays, unions and wrappers; the deepest schema with a description wins. */
function schemaAt(schema: unknown, path: readonly PropertyKey[]): AnySchema | undefined {
  let at = schema as AnySchema | undefined;
  let described = at;
  for (const key of path) {
    at = unwrapped(at);
    at = at?.shape?.[key] ?? at?.element ?? at?.options?.map((o) => unwrapped(o)?.shape?.[key]).find((s) => s !== undefined);
    if (at === undefined) break;
    if (at.description !== undefined || described === undefined) described = at;
  }
  return at ?? (path.length > 0 ? described : undefined);
}

function unwrapped(schema: AnySchema | undefined): AnySchema | undefined {
  let at = schema;
  while (at !== undefined && at.shape === undefined && at.element === undefined && at.options === undefined && at.unwrap !== undefined) at = at.unwrap();
  return at;
}

function objectKeys(schema: AnySchema | undefined): string[] {
  const at = unwrapped(schema);
  if (at?.shape !== undefined) return Object.keys(at.shape);
  return (at?.options ?? []).flatMap((option) => objectKeys(option));
}
