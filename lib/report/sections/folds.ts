import { count, decimals, type Maybe, value } from "../format.js";
import type { Section } from "../section.js";

/** A fold of a walk-forward and what it came to. */
export interface FoldNumbers {
  readonly name: string;
  readonly train: RangeNumbers;
  readonly valid: RangeNumbers;
  readonly test: RangeNumbers;
  readonly isFinished: boolean;
  readonly bestEpoch: Maybe;
  readonly validIc: Maybe;
  readonly testIc: Maybe;
}

interface RangeNumbers {
  readonly first: string | null;
  readonly last: string | null;
  readonly dates: Maybe;
}

const four = decimals(4);

/** The dates and ICs of the folds, of a walk-forward alone. */
export function foldsSection({ folds, missing = [] }: { readonly folds?: readonly FoldNumbers[] | undefined; readonly missing?: readonly string[] | undefined }): Section | undefined {
  if (folds === undefined) return undefined;
  const rows = folds.map(({ name, train, valid, test, isFinished, bestEpoch, validIc, testIc }) => {
    const why = isFinished ? "has no such date" : "not finished";
    return [name, span(train), span(valid), span(test), value(bestEpoch, count, isFinished ? "an ensemble" : why), value(validIc, four, why), value(testIc, four, why)];
  });
  return {
    id: "folds",
    title: "Folds",
    lead: `Each fold was trained, chosen and tested on its own dates; each date is in one test.${missing.length === 0 ? "" : ` Not finished, and not in the numbers: ${missing.join(", ")}.`}`,
    blocks: [
      {
        kind: "table",
        columns: [{ name: "Fold" }, { name: "Trained on" }, { name: "Chosen on" }, { name: "Tested on" }, { name: "Epoch", align: "number" }, { name: "IC, validation", align: "number" }, { name: "IC, test", align: "number" }],
        rows,
      },
    ],
  };
}

function span({ first, last, dates }: RangeNumbers): string {
  return first === null || last === null ? "no dates" : `${first} to ${last} (${count(dates ?? 0)})`;
}
