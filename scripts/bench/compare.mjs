// Two builds of ours in alternation: this one beside that of another commit (`--compare COMMIT`), so that a change shows its own gain or loss.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { alternate } from "./alternate.mjs";
import { oursArguments } from "./bench-context.mjs";
import { cores, describeMachine, waitUntilQuiet } from "./machine.mjs";
import { figure, table } from "./markdown.mjs";
import { MeasuringProcess } from "./measuring-process.mjs";
import { pairedRatio, summary } from "./statistics.mjs";

/** The commit that was named cannot be built; the driver prints the message alone. */
export class CompareError extends Error {}

/**
 * A checkout of `commit` with its native core, made on first use beside the other caches of this package, with its own lock file's packages.
 *
 * @returns {{ commit: string, folder: string }}
 */
export function buildOf(root, commit, say) {
  const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  let sha;
  try {
    sha = git("rev-parse", "--verify", "--short=12", `${commit}^{commit}`);
  } catch {
    throw new CompareError(`--compare ${commit}: there is no such commit in this repository.`);
  }
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "astgnn", "bench-builds", sha);
  if (isBuilt(folder)) return { commit: sha, folder };
  say(`building ${sha} in ${folder}: minutes, once`);
  try {
    if (!existsSync(folder)) {
      mkdirSync(dirname(folder), { recursive: true });
      git("clone", "--quiet", "--no-checkout", root, folder);
      execFileSync("git", ["checkout", "--quiet", "--detach", sha], { cwd: folder });
    }
    execFileSync("npm", ["ci"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  } catch (cause) {
    throw new CompareError(`--compare ${commit}: ${sha} could not be built in ${folder} (${cause.message.split("\n")[0]}). Remove that folder to try again.`);
  }
  return { commit: sha, folder };
}

/** scripts/install.mjs names the sources of the core in its stamp once the core is there: a build that was interrupted has none. */
function isBuilt(folder) {
  const stamp = join(folder, "build", "stamp.json");
  return existsSync(stamp) && JSON.parse(readFileSync(stamp, "utf8")).native !== undefined;
}

/** One row per configuration and mode: medians, paired ratios (above 1: this build is faster) and peak memory of both. */
export async function compareBuilds({ root, settings, other, say }) {
  const rows = [];
  for (const config of settings.configs) {
    for (const mode of settings.modes) {
      await waitUntilQuiet({ force: settings.force, say });
      const row = { config, mode, ...(await measure({ root, settings, other, config, mode })) };
      rows.push(row);
      say(`${Object.values(config).join(",")} ${mode}: ${figure(row.other.median)} ms before, ${figure(row.own.median)} ms now, ratio ${row.ratio.median.toFixed(3)}`);
    }
  }
  return { environment: { ...describeMachine(root), threads: settings.threads, precision: settings.precision, forced: settings.force, comparedWith: other.commit }, rows };
}

async function measure({ root, settings, other, config, mode }) {
  // Each side measures itself by its own script: the protocol between core and script may have changed since.
  const start = (name, folder) =>
    new MeasuringProcess(name, process.execPath, [join(folder, "scripts", "bench", "ours.mjs"), ...oursArguments(settings)], { cwd: folder });
  const sides = [start("other", other.folder), start("own", root)];
  try {
    for (const side of sides) await side.request("prepare", { ...config, mode, repeat: 1 });
    await alternate(sides, { rounds: 2 });
    const { answers, foreignShare } = await alternate(sides, { rounds: settings.steps, budgetSeconds: settings.budgetSeconds });
    const [theirs, ours] = ["other", "own"].map((name) => answers.get(name).map(({ ms }) => ms));
    const memory = {};
    for (const side of sides) memory[side.name] = (await side.request("memory")).peakMiB;
    return { other: summary(theirs), own: summary(ours), ratio: pairedRatio(theirs, ours), otherPeakMiB: memory.other, ownPeakMiB: memory.own, othersShare: foreignShare };
  } finally {
    await Promise.all(sides.map((side) => side.close()));
  }
}

/** The table as a page. */
export function renderComparison({ environment: e, rows }) {
  const cells = rows.map(({ config, mode, other, own, ratio, otherPeakMiB, ownPeakMiB, othersShare }) => [
    Object.values(config).join(","),
    mode,
    `${figure(other.median)} (${figure(other.min)})`,
    `${figure(own.median)} (${figure(own.min)})`,
    `${ratio.median.toFixed(3)} (${ratio.q1.toFixed(3)}-${ratio.q3.toFixed(3)})`,
    `${figure(otherPeakMiB)} / ${figure(ownPeakMiB)}`,
    own.count,
    `${(100 * othersShare).toFixed(0)} %`,
  ]);
  return `# Two builds of this package

- machine: ${e.cpu}, ${cores()} cores, ${e.memoryGiB} GiB, Linux ${e.kernel}; ${e.threads} compute threads
- date ${e.date}, ${e.comparedWith} beside ${e.commit}${e.precision ? `, precision ${e.precision}` : ""}${e.forced ? "; **forced (--force)**" : ""}
- medians (minima) in milliseconds of rounds in which either build makes one step in turn; ratio: median (quartiles) of the rounds' own ratios, above 1 where the second is faster
- memory: maximum RSS less the RSS once the data are resident, in a process that did only this

${table([["N,T,F,B", "mode", `${e.comparedWith} ms`, `${e.commit} ms`, "ratio", "MiB", "rounds", "others' CPU"], ...cells])}
`;
}
