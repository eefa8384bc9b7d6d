export const PACK_STORES = ["float32", "rank16"] as const;

/** How a packed dataset stores its features. */
export type PackStore = (typeof PACK_STORES)[number];
