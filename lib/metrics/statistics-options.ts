import { z } from "zod";

/** Options of the statistics as the command line and every way to evaluate check them. */
export const statisticsShape = {
  quantiles: z.int().min(2).optional().describe("a whole number from 2").meta({ help: "number of quantiles", value: "count", byDefault: "5" }),
  topK: z.int().min(1).optional().describe("a whole number from 1").meta({ help: "stocks in the long-only book", value: "count", byDefault: "a tenth of the mean number of stocks" }),
  costBps: z.number().min(0).optional().describe("a number from 0").meta({ help: "basis points of each unit of traded weight, one way", value: "bps", byDefault: "5" }),
  borrowBps: z.number().min(0).optional().describe("a number from 0").meta({ help: "basis points a year of the short weight", value: "bps", byDefault: "50" }),
  periodsPerYear: z.number().gt(0).optional().describe("a number above 0").meta({ help: "dates of a year, by which returns are annualised", value: "dates", byDefault: "252" }),
  bootstrapDraws: z.int().min(1).max(1_000_000).optional().describe("a whole number from 1 to 1000000").meta({ help: "draws of the bootstrap interval", value: "count", byDefault: "2000" }),
  seed: z.int().min(0).max(2 ** 32 - 1).optional().describe("a whole number from 0 to 4294967295").meta({ help: "seed of the bootstrap", value: "seed", byDefault: "0" }),
};
