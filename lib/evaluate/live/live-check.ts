import type { Panel } from "../../data/panel.js";
import type { RunDescription } from "../../run/description.js";
import type { LoadedRun } from "../../run/load.js";
import type { Finding } from "../audit/finding.js";
import { liveDates } from "./live-dates.js";
import { liveSubject } from "./live-subject.js";
import { movedFeatures } from "./moved-features.js";
import { shrunkenUniverse } from "./shrunken-universe.js";
import { stillScores } from "./still-scores.js";

/** What a live check looks at. */
export const LIVE_CHECKS = ["stale and missing dates", "features whose distribution moved", "a universe that shrank", "scores that stopped moving"] as const;

/**
 * Looks for what makes scores of new data less believable than those that the run was judged by. docs/audit.md says what each finding means.
 *
 * @param known the last date that the run knew
 */
export async function liveCheck(folder: string, description: RunDescription, run: LoadedRun, panel: Panel, { known, asOf, signal }: { known: string; asOf: string; signal?: AbortSignal | undefined }): Promise<Finding[]> {
  const subject = await liveSubject(folder, description, run, panel, known, asOf, signal);
  const findings = [...liveDates(subject), ...(await movedFeatures(subject)), ...shrunkenUniverse(subject), ...(await stillScores(subject, signal))];
  subject.live.dataset.dispose();
  if (subject.reference !== subject.live) subject.reference.dataset.dispose();
  return findings;
}
