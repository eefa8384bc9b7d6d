import { AstgnnError, invalidOption } from "../errors.js";
import { requireNumbers, requireObject, requireText } from "../options.js";

/** Element types of a safetensors file that this package reads. */
export type SafetensorsDtype = "F32" | "F64" | "I32" | "I64" | "BOOL" | "U8";

/** One tensor of a safetensors file: `data` in row-major order, of the array type that fits `dtype`. */
export interface SafetensorsTensor {
  dtype: SafetensorsDtype;
  shape: number[];
  data: Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;
}

/** What a safetensors file holds. */
export interface SafetensorsFile {
  tensors: Record<string, SafetensorsTensor>;
  /** The file's `__metadata__`: strings only. */
  metadata: Record<string, string>;
}

const ARRAYS = { F32: Float32Array, F64: Float64Array, I32: Int32Array, I64: BigInt64Array, BOOL: Uint8Array, U8: Uint8Array } as const;

/** The format's own limit for the JSON header, in bytes. */
const HEADER_LIMIT = 100_000_000;

/**
 * Reads the bytes of a safetensors file (https://github.com/huggingface/safetensors). Every tensor is a copy.
 *
 * @throws AstgnnError ERR_CHECKPOINT where the bytes are cut off, overlap, leave holes or name an unsupported dtype
 * @example
 * const { tensors, metadata } = readSafetensors(await readFile("model.safetensors"));
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  if (!(bytes instanceof Uint8Array)) throw invalidOption("bytes", "a Uint8Array", bytes);
  if (bytes.byteLength < 8) throw broken(`${bytes.byteLength} bytes are too few for a header`);
  const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (headerLength > HEADER_LIMIT || 8 + headerLength > bytes.byteLength) throw broken(`its header claims ${headerLength} bytes, the file has ${bytes.byteLength}`);
  const header = parseHeader(bytes.subarray(8, 8 + headerLength));
  const body = bytes.subarray(8 + headerLength);

  const metadata: Record<string, string> = {};
  const tensors: Record<string, SafetensorsTensor> = {};
  const spans: { name: string; begin: number; end: number }[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      if (entry === null || typeof entry !== "object" || Array.isArray(entry)) throw broken("its metadata are no JSON object");
      for (const [key, value] of Object.entries(entry)) {
        if (typeof value !== "string") throw broken(`metadata ${JSON.stringify(key)} is not text`);
        Object.defineProperty(metadata, key, { value, enumerable: true, writable: true, configurable: true });
      }
      continue;
    }
    const { dtype, shape, begin, end } = checkEntry(name, entry, body.byteLength);
    // Not body.slice: a Buffer's slice is a view of a buffer that may be shared and misaligned.
    const copy = new Uint8Array(body.subarray(begin, end));
    const data = new ARRAYS[dtype](copy.buffer, 0, (end - begin) / ARRAYS[dtype].BYTES_PER_ELEMENT);
    Object.defineProperty(tensors, name, { value: { dtype, shape, data }, enumerable: true, writable: true, configurable: true });
    spans.push({ name, begin, end });
  }
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of spans) {
    if (begin !== at) throw broken(`tensor ${JSON.stringify(name)} begins at byte ${begin} of the data, expected ${at}`);
    at = end;
  }
  if (at !== body.byteLength) throw broken(`its tensors take ${at} bytes, the file holds ${body.byteLength}`);
  return { tensors, metadata };
}

/**
 * Writes tensors and text metadata as one safetensors file. The header is padded so that the data begins at a multiple of 8 bytes;
 * wide element types come first, so every tensor is aligned to its own width. Same input, same bytes.
 *
 * @throws AstgnnError ERR_SHAPE where a shape does not fit its data
 * @example
 * await writeFile("bias.safetensors", writeSafetensors({ bias: { dtype: "F32", shape: [2], data: new Float32Array([0, 1]) } }));
 */
export function writeSafetensors(tensors: Record<string, SafetensorsTensor>, metadata: Record<string, string> = {}): Uint8Array {
  requireObject(tensors, "tensors", "{ name: { dtype, shape, data } }");
  for (const [name, tensor] of Object.entries(tensors)) {
    requireObject(tensor, `tensors.${name}`, "{ dtype, shape, data }");
    if (typeof tensor.dtype !== "string" || !Object.hasOwn(ARRAYS, tensor.dtype)) throw invalidOption(`tensors.${name}.dtype`, Object.keys(ARRAYS).join(", "), tensor.dtype);
    if (!Array.isArray(tensor.shape)) throw invalidOption(`tensors.${name}.shape`, "a list of whole numbers", tensor.shape);
    requireNumbers(tensor.shape, `tensors.${name}.shape`);
    if (!(tensor.data instanceof ARRAYS[tensor.dtype])) throw invalidOption(`tensors.${name}.data`, `a ${ARRAYS[tensor.dtype].name}`, tensor.data);
  }
  requireObject(metadata, "metadata", "{ name: text }");
  for (const [name, text] of Object.entries(metadata)) requireText(text, `metadata.${name}`);
  const width = (name: string): number => ARRAYS[tensors[name]!.dtype].BYTES_PER_ELEMENT;
  const names = Object.keys(tensors).sort((a, b) => width(b) - width(a) || (a < b ? -1 : 1));
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let bodyLength = 0;
  for (const name of names) {
    const { dtype, shape, data } = tensors[name]!;
    const length = shape.reduce((product, size) => product * size, 1);
    if (length !== data.length || !(data instanceof ARRAYS[dtype])) {
      throw new AstgnnError("ERR_SHAPE", `Tensor ${JSON.stringify(name)} of shape [${shape.join(", ")}] and dtype ${dtype} does not fit a ${data.constructor.name} of ${data.length} values.`);
    }
    header[name] = { dtype, shape, data_offsets: [bodyLength, bodyLength + data.byteLength] };
    bodyLength += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(text.byteLength / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength + bodyLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, 8 + text.byteLength, 8 + headerLength);
  bytes.set(text, 8);
  let at = 8 + headerLength;
  for (const name of names) {
    const { data } = tensors[name]!;
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw broken("its header is not JSON", cause);
  }
  if (header === null || typeof header !== "object" || Array.isArray(header)) throw broken("its header is not a JSON object");
  return header as Record<string, unknown>;
}

function checkEntry(name: string, entry: unknown, bodyLength: number): { dtype: SafetensorsDtype; shape: number[]; begin: number; end: number } {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as { dtype?: string; shape?: number[]; data_offsets?: number[] };
  if (dtype === undefined || !Object.hasOwn(ARRAYS, dtype)) throw broken(`tensor ${JSON.stringify(name)} has dtype ${String(dtype)}, expected one of ${Object.keys(ARRAYS).join(", ")}`);
  const whole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(whole)) throw broken(`tensor ${JSON.stringify(name)} has no shape`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(whole)) throw broken(`tensor ${JSON.stringify(name)} has no data_offsets`);
  const [begin, end] = offsets as [number, number];
  const length = shape.reduce((product, size) => product * size, 1) * ARRAYS[dtype as SafetensorsDtype].BYTES_PER_ELEMENT;
  if (end > bodyLength || end - begin !== length) throw broken(`tensor ${JSON.stringify(name)} of shape [${shape.join(", ")}] needs ${length} bytes, its offsets are ${begin} to ${end} of ${bodyLength}`);
  return { dtype: dtype as SafetensorsDtype, shape, begin, end };
}

function broken(what: string, cause?: unknown): AstgnnError {
  return new AstgnnError("ERR_CHECKPOINT", `This is no complete safetensors file: ${what}.`, { next: "Write it again or take another copy.", cause });
}
