import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeSmallTable } from "./small-table.js";

let folder: string;
let library: string;
let csv: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-faulty-disk-"));
  library = join(folder, "faulty_disk.so");
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, fileURLToPath(new URL("../faults/faulty_disk.c", import.meta.url)), "-ldl"]);
  csv = writeSmallTable(join(folder, "table.csv"));
  expect(await training(join(folder, "undisturbed"))).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A training in a process of its own, on a disk that fails as `fault` says; it resumes what is there. */
function training(out: string, fault = "none"): Promise<{ code: number | null; signal: string | null; stderr: string }> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LD_PRELOAD: library, FAULTY_DISK_FOLDER: `${out}/`, FAULTY_DISK_FAULT: fault };
    const child = spawn(process.execPath, [fileURLToPath(new URL("./killed-training.mjs", import.meta.url)), csv, out], { stdio: ["ignore", "ignore", "pipe"], env });
    let stderr = "";
    child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
    child.on("error", reject).on("close", (code, signal) => resolve({ code, signal, stderr }));
  });
}

function expectUndisturbed(out: string): void {
  const undisturbed = join(folder, "undisturbed");
  // What a power cut has left of a lock that was being written is removed by whoever comes a second later.
  expect(readdirSync(out).filter((name) => !/^\.lock\.[\da-f-]{36}$/.test(name)).sort()).toEqual(readdirSync(undisturbed).sort());
  for (const name of ["model.safetensors", "last.safetensors", "predictions.parquet", "factors.parquet", "report.json"]) expect(readFileSync(join(out, name)).equals(readFileSync(join(undisturbed, name))), name).toBe(true);
}

describe("A training whose disk fails", () => {
  it("goes on to the same bits after power cuts, each of which loses what was not synced", async () => {
    const out = join(folder, "power");
    let cuts = 0;
    for (const at of [13, 26]) if ((await training(out, `power@${at}`)).signal === "SIGKILL") cuts++;
    expect(cuts).toBe(2);
    expect(await training(out)).toMatchObject({ code: 0 });
    expectUndisturbed(out);
  });

  it("says that the disk is full, leaves whole files and none of the space taken, and goes on once there is room", async () => {
    const out = join(folder, "full");
    const { code, stderr } = await training(out, "full@6");
    expect(code).toBe(1);
    expect(stderr).toContain("cannot be written: there is no space left on its disk");
    expect(stderr).toContain("ERR_WRITE");
    expect(readdirSync(out).filter((name) => name.startsWith("."))).toEqual([]);
    expect(await training(out, "short@1")).toMatchObject({ code: 0 });
    expectUndisturbed(out);
  });

  it("says so where the bytes are not taken or not synced, and where there is nothing but the lock to write", async () => {
    for (const [fault, file] of [["sync@8", "safetensors"], ["write@1", ".lock"]] as const) {
      const out = join(folder, fault);
      mkdirSync(out);
      const { code, stderr } = await training(out, fault);
      expect([fault, code]).toEqual([fault, 1]);
      expect(stderr).toMatch(new RegExp(`${file.replace(".", "\\.")} cannot be written: its disk does not take it \\(EIO`));
    }
  });
});
