/** 32 random bits per call. */
export type RandomBits = () => number;

/**
 * sfc32 (Chris Doty-Humphrey, PractRand), equal on every machine: a stream of its own per (seed, stream). Stored
 * runs resume, and published numbers repeat, only with this sequence.
 *
 * @param rounds outputs dropped after seeding
 */
export function randomBits(seed: number, stream: number, rounds = 16): RandomBits {
  let [a, b, c, counter] = [seed >>> 0, stream >>> 0, 0x9e3779b9, 1];
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < rounds; i++) next();
  return next;
}

/** Uniform whole number below `limit`: draws that would favour small numbers are thrown away. */
export function below(random: RandomBits, limit: number): number {
  const top = 2 ** 32 - (2 ** 32 % limit);
  for (;;) {
    const value = random();
    if (value < top) return value % limit;
  }
}
