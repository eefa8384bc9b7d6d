declare module "lz4js" {
  /** Unpacks an LZ4 frame into at most `size` bytes. */
  export function decompress(bytes: Uint8Array, size?: number): Uint8Array;
  export function compress(bytes: Uint8Array): Uint8Array;
}
