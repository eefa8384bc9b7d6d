import { createHash } from "node:crypto";
import { basename, resolve } from "node:path";
import { escaped } from "../report/html.js";
import { duration } from "../setup/progress.js";
import { lineChart, type Line } from "./line-chart.js";
import type { EpochPoint } from "./metrics-file.js";
import { CSS } from "./page-style.js";
import type { RunState, Watched, WatchedRun } from "./run-watcher.js";

const COLOURS = 6;
/** From so many runs on the training lines would hide the validation's. */
const MOST_WITH_TRAINING = 3;
/** Rows of a table of epochs, the newest. */
const MOST_ROWS = 100;
const MOST_WARNINGS = 10;

/** Asks for the page's content again every two seconds, and says when nobody answers any more. */
const SCRIPT = `
const main = document.querySelector("main");
const note = document.querySelector("#note");
let shown = "";
let failures = 0;
async function look() {
  try {
    const reply = await fetch("state", { cache: "no-store" });
    if (!reply.ok) throw new Error(reply.statusText);
    const text = await reply.text();
    failures = 0;
    if (text !== shown) {
      const open = new Set([...main.querySelectorAll("details[open]")].map(({ id }) => id));
      main.innerHTML = shown = text;
      for (const details of main.querySelectorAll("details")) details.open = open.has(details.id);
      document.title = main.querySelector("h1").dataset.title;
    }
  } catch {
    failures++;
  }
  if (failures < 3) return setTimeout(look, 2000);
  note.textContent = "astgnn watch has ended; the page shows what it saw last.";
}
setTimeout(look, 2000);
`;

interface Shown {
  readonly title: string;
  readonly about: string;
  readonly digits: number;
  readonly valid: (point: EpochPoint) => number | null;
  readonly train?: (point: EpochPoint) => number | null;
}

const CHARTS: readonly Shown[] = [
  { title: "Loss", about: "lower is better", digits: 4, train: ({ trainLoss }) => trainLoss, valid: ({ validLoss }) => validLoss },
  { title: "IC", about: "mean over dates; 0 is chance", digits: 4, train: ({ trainIc }) => trainIc, valid: ({ validIc }) => validIc },
  { title: "Peer correlation", about: "0: A knows nothing of who moves with whom", digits: 3, valid: ({ peerCorrelation }) => peerCorrelation },
  { title: "Effective neighbours", about: "of a stock in A, mean over rows and dates", digits: 1, valid: ({ effectiveNeighbours }) => effectiveNeighbours },
];

/** The whole page, without anything from elsewhere. `isLive`: it asks for its content again; else it stays as it is. */
export function watchPage(watched: Watched, { isLive }: { isLive: boolean }): string {
  const policy = `default-src 'none'; img-src data:; style-src '${hashOf(CSS)}'${isLive ? `; script-src '${hashOf(SCRIPT)}'; connect-src 'self'` : ""}; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>${escaped(titleOf(watched))}</title>
<style>${CSS}</style>
</head>
<body>
<main>${watchContent(watched)}</main>
<footer><p id="note" role="status"></p><p>From metrics.jsonl, run.json and the lock of the run. Nothing is sent anywhere.</p></footer>${isLive ? `\n<script>${SCRIPT}</script>` : ""}
</body>
</html>
`;
}

/** What of the page changes. */
export function watchContent(watched: Watched): string {
  const { folder, state, runs, holder } = watched;
  const { done, planned } = epochsOf(runs);
  const warnings = [...new Set(runs.flatMap(({ warnings: own }) => own))].slice(0, MOST_WARNINGS);
  return [
    `<div class="top"><h1 data-title="${escaped(titleOf(watched))}">${escaped(basename(resolve(folder)))}</h1><span class="state ${state}">${state}</span></div>`,
    `<p class="how">${escaped(howFar(watched))}</p>`,
    holder === undefined ? "" : `<p class="who">process ${Number(holder.pid)} on ${escaped(holder.host)} since ${escaped(holder.since.replace(/T(.{8}).*/, " $1 UTC"))}${holder.isAlive ? "" : ", which ended without letting go of the run"}</p>`,
    planned > 0 && state !== "finished" ? `<progress max="${planned}" value="${done}" aria-label="epochs done"></progress>` : "",
    `<div class="charts">${CHARTS.map((chart) => figure(chart, runs)).join("")}</div>`,
    key(runs),
    runsTable(runs),
    warnings.length === 0 ? "" : `<ul class="warnings">${warnings.map((text) => `<li>${escaped(text)}</li>`).join("")}</ul>`,
    ...runs.map((run, i) => epochsTable(run, i)),
  ].join("\n");
}

/** One line: how far the runs are, and how long they will still take. */
export function howFar({ state, runs, secondsLeft, mayStopEarly, folder }: Watched): string {
  const { done, planned } = epochsOf(runs);
  const epochs = planned > 0 ? `${done} of ${planned} epochs` : `${done} ${done === 1 ? "epoch" : "epochs"}`;
  const several = runs.length === 1 ? "" : ` in ${runs.length} runs`;
  switch (state) {
    case "waiting": return `Waiting for a training to begin in ${folder}`;
    case "finished": return `${epochs}${several}`;
    case "stopped": return `${epochs}${several}; interrupted, or ended with an error: train --resume goes on`;
    case "crashed": return `${epochs}${several}; the process is gone: train --resume goes on from the last checkpoint`;
    case "running": {
      if (planned > 0 && done >= planned) return `${epochs}${several}, scoring and writing`;
      return `${epochs}${several}${secondsLeft === undefined ? "" : `, ${mayStopEarly ? "at most" : "about"} ${duration(secondsLeft)} left`}`;
    }
  }
}

function titleOf({ folder, state }: Watched): string {
  return `${basename(resolve(folder))}, ${state}`;
}

/** Epochs done and planned, over all runs; those that stopped early are complete. */
function epochsOf(runs: readonly WatchedRun[]): { done: number; planned: number } {
  const plan = Math.max(0, ...runs.map(({ plannedEpochs }) => plannedEpochs ?? 0));
  const done = runs.map(({ epochs }) => epochs.at(-1)?.epoch ?? 0);
  const planned = runs.map(({ state, plannedEpochs }, i) => (state === "finished" ? done[i]! : (plannedEpochs ?? plan)));
  return { done: done.reduce((a, b) => a + b, 0), planned: planned.reduce((a, b) => a + b, 0) };
}

function colourOf(i: number, runs: readonly WatchedRun[]): string {
  return runs.length <= COLOURS ? `c${i}` : runs[i]!.state === "running" ? "c0" : "many";
}

function figure({ title, about, digits, valid, train }: Shown, runs: readonly WatchedRun[]): string {
  const lines = runs.flatMap((run, i): Line[] => {
    const name = run.name === "" ? "" : `${run.name}, `;
    const pointsOf = (of: (point: EpochPoint) => number | null): Line["points"] => run.epochs.map((point) => [point.epoch, of(point)] as const);
    const colour = colourOf(i, runs);
    const own: Line[] = [{ name: `${name}validation`, colour, points: pointsOf(valid), marked: run.bestEpoch }];
    if (train !== undefined && runs.length <= MOST_WITH_TRAINING) own.unshift({ name: `${name}training`, colour, isDashed: true, points: pointsOf(train) });
    return own.filter(({ points }) => points.some(([, y]) => y !== null));
  });
  const lastX = Math.max(1, ...runs.map(({ epochs, plannedEpochs, state }) => (state === "running" || state === "waiting" ? (plannedEpochs ?? 1) : (epochs.at(-1)?.epoch ?? 1))));
  const description = lines.length === 0 ? "No epoch yet." : lines.slice(0, 8).map(({ name, points }) => `${name}: ${spoken(points, digits)}`).join("; ");
  return `<figure><figcaption><h2>${title}</h2><p>${about}</p></figcaption>${lineChart({ title, description, lines, lastX, digits })}</figure>`;
}

function spoken(points: Line["points"], digits: number): string {
  const [first, last] = [points.find(([, y]) => y !== null)!, points.findLast(([, y]) => y !== null)!];
  const of = ([epoch, y]: readonly [number, number | null]): string => `${y!.toFixed(digits)} in epoch ${epoch}`;
  return first === last ? of(first) : `${of(first)}, ${of(last)}`;
}

function key(runs: readonly WatchedRun[]): string {
  const item = (colour: string, name: string, isDashed = false): string => `<li><svg class="${colour}" viewBox="0 0 26 10" aria-hidden="true"><path class="line${isDashed ? " dashed" : ""}" d="M1 5H25"/></svg>${escaped(name)}</li>`;
  const kinds = runs.length <= MOST_WITH_TRAINING ? [item("ink", "validation, averaged weights"), item("ink", "training, with dropout and the weights of each step", true)] : [item("ink", "validation, averaged weights")];
  const whose = runs.length === 1 ? [] : runs.length > COLOURS ? [item("c0", "running"), item("many", "others")] : runs.map(({ name }, i) => item(`c${i}`, name));
  return `<ul class="key">${[...whose, ...kinds, "<li>circle: best epoch</li>"].join("")}</ul>`;
}

function runsTable(runs: readonly WatchedRun[]): string {
  const rows = runs.map((run) => {
    const { name, state, epochs, plannedEpochs, bestEpoch, secondsLeft, mayStopEarly } = run;
    const last = epochs.at(-1);
    const best = epochs.find(({ epoch }) => epoch === bestEpoch);
    const left = secondsLeft === undefined ? "" : `${mayStopEarly ? "at most " : ""}${duration(secondsLeft)}`;
    const cells = [`${last?.epoch ?? 0}${plannedEpochs === undefined ? "" : ` of ${plannedEpochs}`}`, decimals(last?.trainLoss, 4), decimals(last?.validIc, 4), decimals(last?.rankIc, 4), best === undefined ? "" : `${decimals(best.validIc, 4)} (epoch ${best.epoch})`, decimals(last?.peerCorrelation, 3), decimals(last?.effectiveNeighbours, 1), left];
    return `<tr><td>${escaped(name === "" ? "this run" : name)}</td><td class="word">${state}</td>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  });
  return `<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table><thead><tr><th scope="col">run</th><th scope="col" class="word">state</th>${["epoch", "training loss", "valid IC", "valid RankIC", "best valid IC", "peer correlation", "effective neighbours", "time left"].map((name) => `<th scope="col">${name}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

function epochsTable({ name, epochs }: WatchedRun, i: number): string {
  if (epochs.length === 0) return "";
  const rows = epochs.slice(-MOST_ROWS).map((point) => {
    const cells = [decimals(point.trainLoss, 4), decimals(point.validLoss, 4), decimals(point.trainIc, 4), decimals(point.validIc, 4), decimals(point.rankIc, 4), decimals(point.peerCorrelation, 3), decimals(point.effectiveNeighbours, 1), decimals(point.seconds, 1)];
    return `<tr><td>${point.epoch}</td>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  });
  const heads = ["training loss", "valid loss", "training IC", "valid IC", "valid RankIC", "peer correlation", "effective neighbours", "seconds"];
  const which = epochs.length > MOST_ROWS ? `the newest ${MOST_ROWS} epochs` : "all epochs";
  return `<details id="epochs-${i}"><summary>${escaped(name === "" ? "Numbers" : `${name}: numbers`)} of ${which}</summary><div class="scroll" tabindex="0" role="region" aria-label="${escaped(`Epochs of ${name === "" ? "this run" : name}`)}"><table><thead><tr><th scope="col">epoch</th>${heads.map((head) => `<th scope="col">${head}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table></div></details>`;
}

function decimals(value: number | null | undefined, digits: number): string {
  return value === null || value === undefined ? "-" : value.toFixed(digits);
}

/** What a content security policy calls a piece of style or script by. */
function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** Whether a run of this state goes on by itself. */
export function isOver(state: RunState): boolean {
  return state === "finished" || state === "stopped" || state === "crashed";
}
