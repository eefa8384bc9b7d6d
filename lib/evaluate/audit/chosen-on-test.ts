import type { Panel } from "../../data/panel.js";
import { mean } from "../../metrics/statistics.js";
import type { PlateauState } from "../../run/state.js";
import { afterEpoch } from "../../train/schedule.js";
import { findTrials, type StoredIdentity } from "../trials.js";
import type { Finding } from "./finding.js";
import type { AuditedRun, AuditSubject } from "./subject.js";

/** Configurations from which on the best on the test is no accident of a small choice. */
const LEAST_TRIALS = 5;
/** A run that is in the upper half by validation could have been chosen by it. */
const UPPER_HALF = 0.5;

/** Epochs that the validation did not choose, and configurations that stand out on the test and not on the validation. */
export async function chosenOnTest({ run, dataset, panel }: AuditSubject): Promise<Finding[]> {
  if (run === undefined || dataset.test.dates.length === 0) return [];
  if (dataset.valid.dates.length === 0) {
    return [
      {
        code: "no_validation",
        severity: "warn",
        text: "The run has a test and no validation dates: nothing but the test can have chosen its epochs and settings.",
        value: 0,
        threshold: 1,
        next: "Name split.validEnd, or take over epochs and settings of a run that has validation dates.",
      },
    ];
  }
  return [...otherEpochs(run), ...(await bestOfTrials(run, panel))];
}

/** Members whose kept epoch is not the best by the monitored metric of the validation, or is none that was validated. */
function otherEpochs({ histories, description }: AuditedRun): Finding[] {
  const { monitor } = (description.training as typeof description.training | undefined) ?? {};
  const higherIsBetter = monitor !== "mse" && monitor !== "loss";
  return histories.flatMap(({ folder, bestEpoch, epochs }): Finding[] => {
    let state: PlateauState = { best: null, bestEpoch: 0, epochsWithoutBetter: 0, epochsSinceReduction: 0, reductions: 0 };
    for (const { epoch, valid } of epochs) state = afterEpoch(state, epoch, valid[monitor as "ic"] ?? NaN, higherIsBetter, Infinity).state;
    const byValidation = state.bestEpoch === 0 ? epochs.length : state.bestEpoch;
    if (bestEpoch === null || bestEpoch === byValidation) return [];
    return [
      {
        code: "epoch_not_by_validation",
        severity: "fail",
        text: `${folder} keeps the weights of epoch ${bestEpoch}, ${epochs.some(({ epoch }) => epoch === bestEpoch) ? `and epoch ${byValidation} has the best ${monitor} of the validation` : `which metrics.jsonl, with ${epochs.length} epochs, does not know`}.`,
        value: bestEpoch,
        threshold: byValidation,
        next: "Train it again, and let the validation choose the epoch.",
      },
    ];
  });
}

async function bestOfTrials({ folder, description, testIc, validIc }: AuditedRun, panel: Panel): Promise<Finding[]> {
  const { valid, test } = await findTrials(folder, description as StoredIdentity, panel);
  if (test.length + 1 < LEAST_TRIALS || testIc === undefined || validIc === undefined) return [];
  const validIcs = valid.map(({ ic }) => mean(ic));
  const isBest = test.every(({ ic }) => !(mean(ic) > testIc));
  const rank = 1 + validIcs.filter((ic) => ic > validIc).length;
  const place = rank / (valid.length + 1);
  if (!isBest || place <= UPPER_HALF) return [];
  return [
    {
      code: "best_on_test",
      severity: "warn",
      text: `Of ${test.length + 1} configurations beside ${folder} it has the highest test IC and is number ${rank} by validation IC: if it is told of for its test, the test chose it.`,
      value: place,
      threshold: UPPER_HALF,
      next: "Choose by validation, and report the test IC of that one, with its deflated IC.",
    },
  ];
}
