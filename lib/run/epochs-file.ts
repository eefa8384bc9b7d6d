import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { EpochEvent } from "./records.js";

const number = z.number().nullable();
const numbers = z.object({ terms: z.record(z.string(), number) }).catchall(z.union([number, z.record(z.string(), number)]));
const EpochSchema = z.looseObject({ epoch: z.int().min(1), train: numbers, valid: numbers, learningRate: number.optional(), isBest: z.boolean().optional(), seconds: number.optional(), seed: number.optional(), fold: z.string().optional() });

/** The epochs of a `metrics.jsonl`, without the line that a kill cut off and lines that are no epochs; none where there is no such file. */
export async function readEpochs(file: string): Promise<EpochEvent[]> {
  const lines = await readFile(file, "utf8").then((text) => text.split("\n"), () => []);
  return lines.flatMap((line) => {
    try {
      return [EpochSchema.parse(JSON.parse(line)) as unknown as EpochEvent];
    } catch {
      return [];
    }
  });
}
