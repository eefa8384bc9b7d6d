// What a step of several ranks takes. Pure. The exchange is Gloo's all-gather, a ring: in each of W - 1 rounds a rank sends and receives one message.

/** Networks: bytes a millisecond that a message gets, and milliseconds of a round. Line rate less a tenth, and latencies as usual in one rack, are assumed. */
export const NETWORKS = {
  "1 GbE": { bytesPerMs: 0.9 * 125e3, roundMs: 0.1 },
  "10 GbE": { bytesPerMs: 0.9 * 1250e3, roundMs: 0.05 },
  "100 GbE": { bytesPerMs: 0.9 * 12500e3, roundMs: 0.03 },
};

/** Sums of gradients in a rank's message, as native/train/ranks.cpp has them (Shares): one where every cut between ranks is one between subtrees of the sum over all dates. */
export function sumsOf(dates, ranks) {
  const begin = (rank) => Math.floor((dates * rank) / ranks);
  const cuts = Array.from({ length: ranks - 1 }, (_, k) => begin(k + 1)).filter((cut) => cut > 0 && cut < dates);
  const subtree = Math.min(...cuts.map((cut) => cut & -cut));
  return Math.max(...Array.from({ length: ranks }, (_, rank) => Math.ceil((begin(rank + 1) - begin(rank)) / subtree) || 1));
}

/** Milliseconds of the exchange on a network, `cpuMs` of it for each message that is copied and added. */
export function exchangeMs({ ranks, bytes, network, cpuMs }) {
  if (ranks === 1) return 0;
  return (ranks - 1) * (network.roundMs + bytes / network.bytesPerMs) + ranks * cpuMs;
}

/** Wall clock and processor time of a rank's step. `dateMs`, `serialMs`: a date and what a step has besides, on the cores of a rank. `machineCores`: shared by all ranks; else each has its own. */
export function stepOf({ ranks, dates, dateMs, serialMs, exchange, machineCores }) {
  const own = Math.ceil(dates / ranks);
  const crowd = machineCores === undefined ? 1 : Math.max(1, ranks / machineCores);
  return { wallMs: crowd * (own * dateMs + serialMs) + exchange, cpuMs: (dates / ranks) * dateMs + serialMs };
}
