/** Markup that is safe to put on a page as it is. */
export class Html {
  constructor(readonly text: string) {}
}

/** What may stand in a template: text is escaped, undefined is nothing. */
export type Fragment = Html | string | number | undefined | readonly Fragment[];

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text as it may stand between tags and in quoted attributes. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/** A template of markup: every value that is not markup itself is escaped, so a ticker or a column named `<script>` is text. */
export function html(parts: TemplateStringsArray, ...values: readonly Fragment[]): Html {
  return new Html(parts.reduce((all, part, i) => `${all}${markupOf(values[i - 1])}${part}`));
}

function markupOf(value: Fragment): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  return typeof value === "object" ? value.map(markupOf).join("") : escaped(String(value));
}
