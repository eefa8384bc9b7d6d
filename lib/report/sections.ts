import type { ReportNumbers } from "./numbers.js";
import type { SectionOf } from "./section.js";
import { auditSection } from "./sections/audit.js";
import { foldsSection } from "./sections/folds.js";
import { icSection } from "./sections/ic.js";

/** The sections of a report below the first screen, in the order of the page. */
export const SECTIONS: readonly SectionOf<ReportNumbers>[] = [auditSection, foldsSection, icSection];
