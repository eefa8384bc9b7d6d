/** Source of groups: a file with a ticker and a group column, optionally from and to (both inclusive). */
export interface GroupsSource {
  readonly file: string;
  /** Column of the group; default "group". */
  readonly column?: string | undefined;
  /** Column of the ticker; default "ticker". */
  readonly tickerColumn?: string | undefined;
}

/** Source of edges: a file with ticker and neighbor, optionally from and to (both inclusive). A ticker attends to its neighbor. */
export interface EdgesSource {
  readonly file: string;
  /** Whether the neighbor also attends to the ticker; default true. */
  readonly symmetric?: boolean | undefined;
}
