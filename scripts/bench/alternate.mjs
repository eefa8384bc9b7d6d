// Rounds in which every process makes one step while the others sleep, so that a slow minute of the machine hits all of them.
import { setTimeout as sleep } from "node:timers/promises";
import { cores, machineCpuMilliseconds } from "./machine.mjs";

/** Longer than libgomp's idle threads spin, so that a turn starts on a machine that is at rest. */
const PAUSE_MS = 20;
export const LEAST_ROUNDS = 3;

/**
 * @param processes MeasuringProcess[]
 * @param {{ rounds: number, budgetSeconds?: number, request?: string }} options stops after `rounds`, or once the budget is used and LEAST_ROUNDS are done
 * @returns {Promise<{ answers: Map<string, object[]>, idleShare: number, foreignShare: number }>} answers by process name;
 *   idleShare: processor time of the processes whose turn it was not, foreignShare: of everybody else on the machine, both as a share of all cores
 */
export async function alternate(processes, { rounds, budgetSeconds = Infinity, request = "step" }) {
  const answers = new Map(processes.map(({ name }) => [name, []]));
  const start = performance.now();
  const before = { machine: machineCpuMilliseconds(), own: ownCpuMilliseconds(processes) };
  let idle = 0;
  for (let round = 0; round < rounds; round++) {
    if (round >= LEAST_ROUNDS && performance.now() - start > 1e3 * budgetSeconds) break;
    for (let turn = 0; turn < processes.length; turn++) {
      // Another one begins each round: nobody always runs on the caches that the same neighbour left.
      const active = processes[(round + turn) % processes.length];
      await sleep(PAUSE_MS);
      const others = processes.filter((other) => other !== active);
      const othersBefore = sum(others.map((other) => other.cpuMilliseconds()));
      answers.get(active.name).push(await active.request(request));
      idle += sum(others.map((other) => other.cpuMilliseconds())) - othersBefore;
    }
  }
  const capacity = cores() * (performance.now() - start);
  const machine = machineCpuMilliseconds() - before.machine;
  const own = ownCpuMilliseconds(processes) - before.own;
  return { answers, idleShare: idle / capacity, foreignShare: Math.max(0, machine - own) / capacity };
}

function ownCpuMilliseconds(processes) {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3 + sum(processes.map((each) => each.cpuMilliseconds()));
}

const sum = (values) => values.reduce((a, b) => a + b, 0);
