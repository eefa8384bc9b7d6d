import type { ReportNumbers } from "./numbers.js";
import type { SectionOf } from "./section.js";
import { auditSection } from "./sections/audit.js";
import { backtestSection } from "./sections/backtest.js";
import { baselinesSection } from "./sections/baselines.js";
import { costsSection } from "./sections/costs.js";
import { dataSection } from "./sections/data.js";
import { decaySection } from "./sections/decay.js";
import { definitionsSection } from "./sections/definitions.js";
import { explanationsSection } from "./sections/explanations.js";
import { exposuresSection } from "./sections/exposures.js";
import { factorsSection } from "./sections/factors.js";
import { foldsSection } from "./sections/folds.js";
import { graphSection } from "./sections/graph.js";
import { icSection } from "./sections/ic.js";
import { partsSection } from "./sections/parts.js";
import { peersSection } from "./sections/peers.js";
import { quantilesSection } from "./sections/quantiles.js";
import { reproduceSection } from "./sections/reproduce.js";
import { riskSection } from "./sections/risk.js";
import { trainingSection } from "./sections/training.js";
import { unitsSection } from "./sections/units.js";

/** The sections of a report below the first screen, in the order of the page. */
const SECTIONS: readonly SectionOf<ReportNumbers>[] = [
  auditSection,
  foldsSection,
  baselinesSection,
  icSection,
  quantilesSection,
  decaySection,
  costsSection,
  backtestSection,
  exposuresSection,
  partsSection,
  unitsSection,
  graphSection,
  peersSection,
  factorsSection,
  riskSection,
  explanationsSection,
  trainingSection,
  dataSection,
  definitionsSection,
  reproduceSection,
];

/** Those of a report without predictions. */
const OF_BACKTEST: readonly SectionOf<ReportNumbers>[] = [backtestSection, dataSection, reproduceSection];

/** The sections that a report of a subject has. */
export function sectionsFor(numbers: ReportNumbers): readonly SectionOf<ReportNumbers>[] {
  return numbers.subject.kind === "backtest" ? OF_BACKTEST : SECTIONS;
}
