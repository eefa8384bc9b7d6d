// What daily retraining costs. Pure.

/** Bytes that a step keeps of a row, default model (lib/train/memory.ts). */
const ROW_BYTES = 13_000;
const DAYS = 252;

/** `stepMs(cores)`: of one date; `predictMs`: of one date on one core. Members train at once, each with a part of the cores. */
export function costOfYear({ stocks, features, cores, price, members, stepMs, predictMs, trainDates = 756, validDates = 252, epochs = 4 }) {
  const many = Math.min(members, cores);
  const own = Math.floor(cores / many);
  const rounds = Math.ceil(members / many);
  const predicted = epochs * validDates + trainDates + validDates;
  const hoursADay = (rounds * (epochs * trainDates * stepMs(own) + (predicted * predictMs) / own)) / 3.6e6;
  const coreHours = DAYS * cores * hoursADay;
  return { hoursADay, coreHours, cost: coreHours * price, gibibytes: (4 * (trainDates + validDates) * stocks * (features + 2) + many * stocks * ROW_BYTES) / 2 ** 30 };
}
