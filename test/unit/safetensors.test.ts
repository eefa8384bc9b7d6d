import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readSafetensors, writeSafetensors, type SafetensorsTensor } from "../../lib/model/safetensors.js";

const tensors: Record<string, SafetensorsTensor> = {
  weight: { dtype: "F32", shape: [2, 3], data: new Float32Array([1, -2, 3.5, 0, 1e-30, 7]) },
  "layer.log_scale": { dtype: "F64", shape: [], data: new Float64Array([Math.PI]) },
  num_batches_tracked: { dtype: "I64", shape: [], data: new BigInt64Array([12n]) },
  empty: { dtype: "I32", shape: [0, 4], data: new Int32Array(0) },
  mask: { dtype: "BOOL", shape: [3], data: new Uint8Array([1, 0, 1]) },
};

describe("safetensors", () => {
  it("reads back what it wrote, 0-d and empty tensors and metadata included", () => {
    const { tensors: read, metadata } = readSafetensors(writeSafetensors(tensors, { config: '{"a":1}' }));
    expect(read).toEqual(tensors);
    expect(metadata).toEqual({ config: '{"a":1}' });
  });

  it("aligns every tensor to its own width", () => {
    const bytes = writeSafetensors(tensors);
    const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(headerLength % 8).toBe(0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength))) as Record<string, { data_offsets: number[] }>;
    expect(header["num_batches_tracked"]!.data_offsets[0]! % 8).toBe(0);
    expect(header["weight"]!.data_offsets[0]! % 4).toBe(0);
  });

  it("gives the same bytes whatever the order of the names", () => {
    const reversed = Object.fromEntries(Object.entries(tensors).reverse());
    expect(writeSafetensors(reversed)).toEqual(writeSafetensors(tensors));
  });

  it("refuses a file cut off at any byte", () => {
    const bytes = writeSafetensors(tensors, { a: "b" });
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => readSafetensors(bytes.slice(0, length)), `${length} bytes`).toThrow(/no complete safetensors file/);
    }
  });

  it("refuses trailing bytes, an unknown dtype and a shape that does not fit", () => {
    const bytes = writeSafetensors({ a: { dtype: "F32", shape: [1], data: new Float32Array([1]) } });
    expect(() => readSafetensors(new Uint8Array([...bytes, 0]))).toThrow(/the file holds 5/);
    const swapped = (from: string, to: string): Uint8Array => {
      const text = Buffer.from(bytes).toString("latin1").replace(from, to);
      return Uint8Array.from(Buffer.from(text, "latin1"));
    };
    expect(() => readSafetensors(swapped("F32", "F16"))).toThrow(/dtype F16/);
    expect(() => readSafetensors(swapped('"shape":[1]', '"shape":[2]'))).toThrow(/needs 8 bytes/);
    expect(() => writeSafetensors({ a: { dtype: "F32", shape: [2], data: new Float32Array(3) } })).toThrow(/does not fit/);
  });

  const python = process.env["ASTGNN_TEST_PYTHON"] ?? "/tmp/oracle/bin/python";
  const hasOracle = existsSync(python) && ((): boolean => {
    try {
      execFileSync(python, ["-c", "import safetensors, numpy"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  })();
  it.skipIf(!hasOracle)("round-trips with Python's safetensors package (skipped without ASTGNN_TEST_PYTHON)", () => {
    const folder = mkdtempSync(join(tmpdir(), "astgnn-safetensors-"));
    try {
      writeFileSync(join(folder, "a.safetensors"), writeSafetensors(tensors, { format_version: "1" }));
      const script = `
import sys
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1], "np") as f:
    assert f.metadata() == {"format_version": "1"}, f.metadata()
    save_file({k: f.get_tensor(k) for k in f.keys()}, sys.argv[2], metadata=f.metadata())
`;
      execFileSync(python, ["-c", script, join(folder, "a.safetensors"), join(folder, "b.safetensors")], { stdio: ["ignore", "inherit", "inherit"] });
      const back = readSafetensors(readFileSync(join(folder, "b.safetensors")));
      expect(back.tensors).toEqual(tensors);
      expect(back.metadata).toEqual({ format_version: "1" });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
