import { finished } from "../binding/job.js";
import { loadCore } from "../binding/load.js";
import { resolveThreads } from "../binding/threads.js";
import type { NativeJob, NativePeerLists } from "../binding/types.js";
import { nativePanel } from "../data/native-panel.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import type { ASTGNNFactorModel } from "./model.js";
import { nativeModule } from "./module.js";

/** Which lists to make. */
export interface PeerListRequest {
  readonly dates: Int32Array;
  /** Only the list of this stock. Default: of every row. */
  readonly stock?: number | undefined;
  /** Entries of a list. */
  readonly top: number;
  /** True: also the features of the dates. */
  readonly features?: boolean;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The heaviest entries of rows of A, a stock itself not among them, in evaluation mode and off this thread. */
export async function peerLists(model: ASTGNNFactorModel, dataset: Dataset, request: PeerListRequest): Promise<NativePeerLists> {
  const { dates, stock, top, features = false, threads, signal } = request;
  const native = nativeModule(model);
  const start = (): NativeJob<NativePeerLists> =>
    loadCore().peerLists(native, nativePanel(dataset, native.device), { dates, top, features, threads: resolveThreads(threads), ...(stock === undefined ? {} : { stock }) });
  return finished(start, signal, "The search for peers");
}

/** @throws AstgnnError ERR_OPTION for a model whose A links nobody: one that was trained without a graph */
export function requirePeers({ config }: ASTGNNFactorModel, { graph }: Dataset): void {
  if (config.similarityGraph !== "groups" || graph !== "none") return;
  throw new AstgnnError("ERR_OPTION", "This model has no graph: it was trained with every stock on its own, so no stock has peers.", { option: "model", next: "Take a model that was trained with a graph." });
}
