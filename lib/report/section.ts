import type { Spec } from "./vega.js";

/**
 * A part of the page. To add one: write a file in sections/ with the type of its numbers and a function of `{ readonly own?: OwnNumbers }` that gives the section;
 * add the field `own` to ReportNumbers, so that report.json has what the page shows; name the function in sections.ts.
 */
export interface Section {
  /** Anchor on the page: lower case and hyphens. */
  readonly id: string;
  readonly title: string;
  /** A sentence or two below the title. */
  readonly lead?: string | undefined;
  readonly blocks: readonly Block[];
}

/** A section from the numbers of a report; undefined where the report has nothing for it. */
export type SectionOf<N> = (numbers: N) => Section | undefined;

export type Block = Figure | Table | Prose | Absent | Listing;

/** A chart with its table. */
export interface Figure {
  readonly kind: "figure";
  readonly title: string;
  /** What is drawn, in which unit. */
  readonly subtitle: string;
  /** What a reader sees in it, for those who do not see it. */
  readonly description: string;
  /** `full`: the width of the page. `half`: two beside one another where there is room. */
  readonly width: "full" | "half";
  /** The Vega-Lite specification for a total width in pixels; it is drawn once for a wide page and once for a narrow one. Colours: {@link COLOURS}. */
  readonly chart: (width: number) => Spec;
  /** The numbers that are drawn. */
  readonly table: Omit<Table, "kind" | "title">;
}

export interface Table {
  readonly kind: "table";
  readonly title?: string | undefined;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
  /** A sentence below. */
  readonly note?: string | undefined;
  /** Whether the reader opens it. */
  readonly isFolded?: boolean | undefined;
}

export interface Column {
  readonly name: string;
  /** Numbers stand right; a table with sentences stacks its cells on a narrow page. Default `text`. */
  readonly align?: "text" | "number" | "sentence";
}

/** Text, or a number as {@link Value}. */
export type Cell = string | Value;

/** A number as people read it, or a dash and why there is none. */
export interface Value {
  readonly text: string;
  /** Set where there is no number. */
  readonly reason?: string | undefined;
}

export interface Prose {
  readonly kind: "prose";
  readonly text: string;
}

/** In place of a figure or table that cannot be had. */
export interface Absent {
  readonly kind: "absent";
  readonly title: string;
  /** A sentence. */
  readonly reason: string;
}

/** Text as it is, such as a command or JSON; folded where it is long. */
export interface Listing {
  readonly kind: "listing";
  readonly title: string;
  readonly text: string;
  readonly isFolded?: boolean | undefined;
}
