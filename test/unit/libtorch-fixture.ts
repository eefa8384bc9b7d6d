import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll } from "vitest";

/** A temporary folder that goes with the test file. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A minimal 64-bit ELF file that asks for these libraries: one loaded segment, one dynamic section, the names. `machine` is ELF's number of the processor, by default this one's. */
export function elf(needed: readonly string[], machine = process.arch === "arm64" ? 183 : 62): Buffer {
  const strings = Buffer.from(`\0${needed.join("\0")}\0`, "latin1");
  const dynamicAt = 64 + 2 * 56;
  const stringsAt = dynamicAt + 16 * (needed.length + 2);
  const file = Buffer.alloc(stringsAt + strings.length);
  file.writeUInt32BE(0x7f454c46, 0);
  file[4] = 2;
  file[5] = 1;
  file.writeUInt16LE(machine, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(2, 56);
  const address = 0x1000;
  [[1, 0, address, file.length] as const, [2, dynamicAt, address + dynamicAt, stringsAt - dynamicAt] as const].forEach(([type, offset, at, size], i) => {
    file.writeUInt32LE(type, 64 + 56 * i);
    file.writeBigUInt64LE(BigInt(offset), 64 + 56 * i + 8);
    file.writeBigUInt64LE(BigInt(at), 64 + 56 * i + 16);
    file.writeBigUInt64LE(BigInt(size), 64 + 56 * i + 32);
  });
  let name = 1;
  needed.forEach((library, i) => {
    file.writeBigUInt64LE(1n, dynamicAt + 16 * i);
    file.writeBigUInt64LE(BigInt(name), dynamicAt + 16 * i + 8);
    name += library.length + 1;
  });
  file.writeBigUInt64LE(5n, dynamicAt + 16 * needed.length);
  file.writeBigUInt64LE(BigInt(address + stringsAt), dynamicAt + 16 * needed.length + 8);
  strings.copy(file, stringsAt);
  return file;
}

/** Files of a LibTorch as far as a search looks at them; `undefined` leaves one out. */
export function libtorchFiles(version: string, overrides: Record<string, Buffer | string | undefined> = {}): Record<string, Buffer | string> {
  const [major, minor, patch] = version.split(".");
  const files: Record<string, Buffer | string | undefined> = {
    "build-version": `${version}+cu132\n`,
    "lib/libc10.so": elf(["libc.so.6"]),
    "lib/libgomp.so.1": elf(["libc.so.6"]),
    "lib/libcudart.so.13": elf(["libc.so.6"]),
    "lib/libcupti.so.13": elf(["libc.so.6"]),
    "lib/libtorch_cpu.so": elf(["libc10.so", "libm.so.6", "libgomp.so.1", "libcupti.so.13", "libcudart.so.13"]),
    "include/torch/csrc/api/include/torch/nn/module.h": "",
    "include/torch/headeronly/version.h": `#define TORCH_VERSION_MAJOR ${major}\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH ${patch}\n`,
    ...overrides,
  };
  return Object.fromEntries(Object.entries(files).filter((entry): entry is [string, Buffer | string] => entry[1] !== undefined));
}

/** Writes files below a folder and returns the folder. */
export function write(folder: string, files: Record<string, Buffer | string>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** A zip file with stored (uncompressed) entries. `damage` changes the bytes of one entry after its checksum was taken. */
export function zip(files: Record<string, Buffer | string>, damage?: string): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt32LE(crc32(bytes), 10);
    fields.writeUInt32LE(bytes.length, 14);
    fields.writeUInt32LE(bytes.length, 18);
    fields.writeUInt16LE(Buffer.byteLength(name), 22);
    const stored = Buffer.from(bytes);
    if (name === damage) stored[0]! ^= 0xff;
    const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), fields, Buffer.from(name), stored]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02", "latin1"), Buffer.from([20, 3]), fields, tail, Buffer.from(name)]));
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}
