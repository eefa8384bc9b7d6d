import { breathe } from "../run/breathe.js";
import { html, Html, type Fragment } from "./html.js";
import type { ReportNumbers } from "./numbers.js";
import { CSS } from "./page-css.js";
import type { Block, Cell, Figure, Section, Table } from "./section.js";
import { sectionsFor } from "./sections.js";
import { backtestOverview } from "./sections/backtest-overview.js";
import { overviewOf, type Overview } from "./sections/overview.js";
import { drawChart } from "./vega.js";

/** Widths in pixels that charts are drawn for. */
const WIDTHS = { full: 1040, half: 498, narrow: 358 } as const;

/** What stands in the content security policy's place on a page without a server: nothing is fetched and no script runs. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** The page of a report: one file that fetches nothing and has no script. The same numbers give the same bytes. */
export async function renderReport(numbers: ReportNumbers): Promise<string> {
  const overview = numbers.subject.kind === "backtest" ? backtestOverview(numbers) : overviewOf(numbers);
  const sections = sectionsFor(numbers).flatMap((sectionOf) => sectionOf(numbers) ?? []);
  const drawn: Html[] = [];
  for (const section of sections) drawn.push(await sectionMarkup(section));
  const first = overview.figure === undefined ? undefined : await figureMarkup({ ...overview.figure }, "overview");
  const { name, kind } = numbers.subject;
  const what = kind === "predictions" ? "predictions" : kind;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<link rel="icon" href="data:,">
<title>${name}: ${overview.headline}</title>
<style>${new Html(CSS)}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="top">
<p class="eyebrow">astgnn report · ${what} ${name}</p>
<h1>${overview.headline}</h1>
${overview.deck === "" ? undefined : html`<p class="deck">${unbroken(overview.deck)}</p>`}
<div class="about">${overview.about.map((text) => html`<p>${text}</p>`)}</div>
</header>
<main id="content">
${verdictMarkup(overview)}
${tilesMarkup(overview)}
${first === undefined ? undefined : html`<div class="blocks">${first}</div>`}
<nav aria-label="Sections"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
${drawn}
</main>
<footer><p>Everything on this page is also in report.json, schema version ${numbers.schemaVersion}.</p></footer>
</body>
</html>
`;
  return page.text;
}

function verdictMarkup({ verdict, cautions }: Overview): Html {
  return html`<p class="verdict ${verdict.state}">${unbroken(verdict.text)}</p>
${cautions.map((text) => html`<p class="verdict caution">${text}</p>`)}`;
}

function tilesMarkup({ tiles }: Overview): Html | undefined {
  if (tiles.length === 0) return undefined;
  return html`<dl class="tiles">
${tiles.map(({ name, value, note }) => html`<div class="tile"><dt>${name}</dt><dd><div class="number">${value.text}</div><div class="note">${unbroken(value.reason ?? note)}</div></dd></div>
`)}</dl>`;
}

async function sectionMarkup({ id, title, lead, blocks }: Section): Promise<Html> {
  const drawn: Html[] = [];
  for (const [i, block] of blocks.entries()) drawn.push(await blockMarkup(block, `${id}-${i + 1}`));
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>
${lead === undefined ? undefined : html`<p class="lead">${unbroken(lead)}</p>`}
<div class="blocks">
${drawn}</div></section>
`;
}

async function blockMarkup(block: Block, id: string): Promise<Html> {
  switch (block.kind) {
    case "figure":
      return figureMarkup(block, id);
    case "table":
      return tableBlock(block);
    case "prose":
      return html`<p class="remark">${block.text}</p>
`;
    case "absent":
      return html`<div class="absent"><h3>${block.title}</h3><p class="dash" aria-hidden="true">–</p><p>${sentence(block.reason)}</p></div>
`;
    case "listing":
      return html`<div>${block.isFolded === true ? html`<details><summary>${block.title}</summary><pre>${block.text}</pre></details>` : html`<h3>${block.title}</h3><pre>${block.text}</pre>`}</div>
`;
  }
}

/** A chart, drawn for wide and for narrow pages, and its table. */
async function figureMarkup(figure: Figure, id: string): Promise<Html> {
  const { title, subtitle, description, width, table } = figure;
  const drawings: Fragment[] = [];
  for (const kind of ["wide", "narrow"] as const) {
    await breathe();
    const chart = await drawChart(figure.chart(kind === "wide" ? WIDTHS[width] : WIDTHS.narrow), `${id}-${kind}`);
    drawings.push(html`<svg class="${kind}" role="img" aria-labelledby="${id}-title" aria-describedby="${id}-text" viewBox="0 0 ${chart.width} ${chart.height}" width="${chart.width}" height="${chart.height}">${new Html(chart.markup)}</svg>`);
  }
  return html`<figure class="${width}"><h3 id="${id}-title">${title}</h3><p class="subtitle">${unbroken(subtitle)}</p>
<p id="${id}-text" hidden>${description}</p>
<div class="chart">${drawings}</div>
<details><summary>Table<span hidden> of ${title}</span></summary>${tableMarkup({ ...table, kind: "table" }, title)}</details></figure>
`;
}

function tableBlock(table: Table): Html {
  const title = table.title ?? "";
  if (table.isFolded === true) return html`<div class="table"><details><summary>${title}</summary>${tableMarkup(table, title)}</details></div>
`;
  return html`<div class="table">${title === "" ? undefined : html`<h3>${title}</h3>`}${tableMarkup(table, title)}</div>
`;
}

/** Dashes get a letter, and the letters their reasons below. */
function tableMarkup({ columns, rows, note }: Table, label: string): Html {
  const reasons: string[] = [];
  const isStacked = columns.some(({ align }) => align === "sentence");
  const cell = (content: Cell, i: number): Html => {
    const { text, reason } = typeof content === "string" ? { text: content } : content;
    if (reason !== undefined && !reasons.includes(reason)) reasons.push(reason);
    // A path or a fingerprint may break anywhere, words only between them.
    const kind = columns[i]?.align === "number" ? ' class="number"' : text.split(/\s/).some((word) => word.length > 24) ? ' class="long"' : "";
    return html`<td${new Html(kind)}${isStacked ? html` data-name="${columns[i]?.name}"` : undefined}>${text}${reason === undefined ? undefined : html`<sup>${letterOf(reasons.indexOf(reason))}</sup>`}</td>`;
  };
  const body = rows.map((row) => html`<tr>${row.map(cell)}</tr>
`);
  const head = columns.every(({ name }) => name === "") ? undefined : html`<thead><tr>${columns.map(({ name, align }) => html`<th scope="col"${align === "number" ? new Html(' class="number"') : undefined}>${name}</th>`)}</tr></thead>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table: ${label}"><table${isStacked ? new Html(' class="stacked"') : undefined}>${head}
<tbody>
${body}</tbody></table></div>${reasons.length === 0 ? undefined : html`<p class="notes">${reasons.map((reason, i) => `${letterOf(i)}: ${reason}. `)}</p>`}${note === undefined ? undefined : html`<p class="footnote">${unbroken(note)}</p>`}`;
}

function letterOf(index: number): string {
  return index < 26 ? String.fromCharCode(97 + index) : String(index + 1);
}

/** A number and its unit stay on one line. */
function unbroken(text: string): string {
  return text.replace(/(\d) (%|bp)/g, "$1\u00a0$2");
}

function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
