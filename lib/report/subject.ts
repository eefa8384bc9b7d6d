/** What the numbers of a report are about. */
export interface SubjectNumbers {
  /** Of the run folder, or of the file of predictions or weights. */
  readonly name: string;
  readonly kind: "run" | "ensemble" | "walk-forward" | "predictions" | "backtest";
  /** Data that predictions or weights of another tool are held against; a run says so itself. */
  readonly prices?: string | undefined;
}
