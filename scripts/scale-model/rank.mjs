// One of the processes that scale-model.mjs measures: node rank.mjs <JSON: n, t, f, b, steps>, its place in RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Rank 0 prints the times.
import { loadCore } from "../../dist/binding/load.js";
import { resolveConfig } from "../../dist/model/config.js";
import { joinedRanks } from "../../dist/train/ranks/group.js";
import { stepDates, syntheticPanel } from "../bench/synthetic-panel.mjs";
import { scheduleOf, sessionOptions } from "./measure.mjs";

const { n, t, f, b, steps } = JSON.parse(process.argv[2]);
const ranks = Number(process.env.WORLD_SIZE);
const group = ranks === 1 ? undefined : await joinedRanks(ranks, { startSeconds: 60, stepSeconds: 60 });
const core = loadCore();
const panel = core.createPanel(syntheticPanel({ n, t, f, b }));
const model = core.createModel(resolveConfig({ sequentialInputSize: f }), "float32", 0);
const session = core.createSession(model, panel, { ...sessionOptions, ranks: group !== undefined });
const dates = stepDates({ t, b });
await session.run(scheduleOf(dates, 3), 1, () => {}).done;
const wall = [];
const before = process.cpuUsage();
await session.run(scheduleOf(dates, steps), 1, ({ milliseconds }) => wall.push(milliseconds)).done;
const { user, system } = process.cpuUsage(before);
const own = { cpuMs: (user + system) / 1000 / steps, wallMs: wall.sort((x, y) => x - y)[Math.floor(steps / 2)] };
const all = group === undefined ? [own] : await group.gather(own);
await group?.leave();
if (group === undefined || group.rank === 0) console.log(JSON.stringify({ cpuMs: Math.max(...all.map(({ cpuMs }) => cpuMs)), wallMs: own.wallMs }));
