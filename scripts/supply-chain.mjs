// What others have written of the package and of what it installs: `node scripts/supply-chain.mjs` lists each part with its licence,
// `--sbom FILE` writes the list as CycloneDX 1.6. scripts/release-check.mjs asks for the same, and whether the lock files are complete and each packed
// file is reached.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

// What a package under MIT may contain and depend on: all of these ask for no more than their text and names.
const ALLOWED = new Set(["0BSD", "Apache-2.0", "BlueOak-1.0.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "Unlicense"]);
const CRATES = "https://github.com/rust-lang/crates.io-index";
const IMPORTS = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g;

const read = (root, path) => readFileSync(join(root, path), "utf8");
const readIf = (root, path) => (existsSync(join(root, path)) ? read(root, path) : "");

/** Whether a licence leaves a choice that is allowed: "Unlicense OR MIT". */
export function isAllowed(licence) {
  return licence.replace(/[()]/g, "").split(/ OR |\//).some((choice) => choice.split(" AND ").every((part) => ALLOWED.has(part.trim().replace(/ WITH .*/, ""))));
}

/** `in`: the file of the tarball that contains it, or "installed" for what npm installs beside it. */
export function parts(root) {
  return [...installedPackages(root), ...bundledPackages(root), ...linkedCrates(root)];
}

function installedPackages(root) {
  const { packages } = JSON.parse(read(root, "package-lock.json"));
  return Object.entries(packages).flatMap(([path, { version, license, integrity, dev }]) =>
    path === "" || dev === true ? [] : [{ kind: "npm", name: path.replace(/^.*node_modules\//, ""), version, licence: license ?? "none stated", integrity, in: "installed" }]);
}

/** Of dist/vendor/vega.js, as scripts/bundle-vega.mjs wrote them down, and what the addon's C++ includes. */
function bundledPackages(root) {
  const { packages } = JSON.parse(read(root, "package-lock.json"));
  const of = (name, version, licence, file) => {
    const entry = Object.entries(packages).find(([path, { version: locked }]) => path.endsWith(`node_modules/${name}`) && locked === version)?.[1];
    return { kind: "npm", name, version, licence, integrity: entry?.integrity, in: file };
  };
  const bundled = [...readIf(root, "dist/vendor/LICENSES.txt").matchAll(/^(@?[\w./-]+) (\d\S*) \((.+)\)$/gm)].map(([, name, version, licence]) => of(name, version, licence, "dist/vendor/vega.js"));
  const headers = packages["node_modules/node-addon-api"];
  return headers === undefined ? bundled : [...bundled, of("node-addon-api", headers.version, headers.license, "prebuilds/*/astgnn.node")];
}

/** Crates that native/solver/LICENSES.md lists. */
function linkedCrates(root) {
  const locked = lockedCrates(root);
  return [...readIf(root, "native/solver/LICENSES.md").matchAll(/^\| (\S+) (\d\S*) \| (.+) \|$/gm)].map(([, name, version, licence]) => {
    const checksum = locked.find((crate) => crate.name === name && crate.version === version)?.checksum;
    return { kind: "cargo", name, version, licence, checksum, in: "prebuilds/*/libastgnn_core.so" };
  });
}

function lockedCrates(root) {
  return readIf(root, "native/solver/Cargo.lock").split("[[package]]").slice(1).map((entry) => {
    const field = (key) => new RegExp(`^${key} = "(.*)"$`, "m").exec(entry)?.[1];
    return { name: field("name"), version: field("version"), source: field("source"), checksum: field("checksum") };
  });
}

/** Parts without a licence that is allowed, or without a checksum to know them by. */
export function licenceProblems(root) {
  return parts(root).flatMap(({ name, version, licence, integrity, checksum }) => [
    ...(isAllowed(licence) ? [] : [`${name} ${version}: ${licence}`]),
    ...((integrity ?? checksum) === undefined ? [`${name} ${version} is in no lock file`] : []),
  ]);
}

/** What keeps an installation from being the one that was tested. */
export function lockProblems(root) {
  const { dependencies = {}, devDependencies = {} } = JSON.parse(read(root, "package.json"));
  const { lockfileVersion, packages } = JSON.parse(read(root, "package-lock.json"));
  const problems = [];
  for (const [what, wanted] of Object.entries({ dependencies, devDependencies }))
    for (const [name, range] of Object.entries(wanted)) if (packages[""][what]?.[name] !== range || packages[`node_modules/${name}`] === undefined) problems.push(`package-lock.json does not have ${name} ${range}`);
  for (const [path, entry] of Object.entries(packages)) {
    if (path === "") continue;
    if (!/^sha512-/.test(entry.integrity ?? "")) problems.push(`${path} has no SHA-512`);
    if (entry.resolved !== undefined && !entry.resolved.startsWith("https://registry.npmjs.org/")) problems.push(`${path} comes from ${entry.resolved}`);
    for (const name of Object.keys(entry.dependencies ?? {})) if (!resolves(packages, path, name)) problems.push(`${path} needs ${name}, which is not locked`);
  }
  if (lockfileVersion !== 3) problems.push(`package-lock.json is of version ${lockfileVersion}`);
  for (const { name, version, source, checksum } of lockedCrates(root)) {
    if (source === undefined) continue; // the crate of this package
    if (source !== `registry+${CRATES}` || !/^[0-9a-f]{64}$/.test(checksum ?? "")) problems.push(`${name} ${version} is not locked by a checksum of crates.io`);
  }
  return problems;
}

/** As Node looks for it: in node_modules of the package, then of those around it. */
function resolves(packages, path, name) {
  for (let at = path; ; at = at.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, "")) {
    if (packages[`${at === "" ? "" : `${at}/`}node_modules/${name}`] !== undefined) return true;
    if (at === "") return false;
  }
}

/** Crates that cargo links and LICENSES.md does not list, or the other way round; undefined where there is no cargo, or no network for its crates. */
export function crateProblems(root) {
  if (!existsSync(join(root, "native/solver/Cargo.toml"))) return [];
  let printed;
  try {
    const args = ["tree", "--locked", "--manifest-path", join(root, "native/solver/Cargo.toml"), "--target", "x86_64-unknown-linux-gnu", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{l}"];
    printed = execFileSync("cargo", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return undefined;
  }
  const linked = [...printed.matchAll(/^(\S+) v(\S+)(?: \([^|]*\))?\|(.*?)(?: \(\*\))?$/gm)].filter(([, name]) => name !== "astgnn-solver");
  const normal = (licence) => licence.replaceAll("/", " OR ").split(" OR ").sort().join(" OR ");
  const known = new Set([...new Set(linked.map(([, name, version, licence]) => `${name} ${version}: ${normal(licence)}`))]);
  const listed = new Set(linkedCrates(root).map(({ name, version, licence }) => `${name} ${version}: ${normal(licence)}`));
  return [...[...known].filter((crate) => !listed.has(crate)).map((crate) => `${crate} is linked and not listed`), ...[...listed].filter((crate) => !known.has(crate)).map((crate) => `${crate} is listed and not linked`)];
}

/** Packed files that nothing leads to: no import of what package.json names, no line of CMakeLists.txt, no #include. */
export function unreached(root, paths) {
  const packed = new Set(paths);
  const { main, types, exports = {}, bin = {} } = JSON.parse(read(root, "package.json"));
  const named = [main, types, ...JSON.stringify([exports, bin]).matchAll(/"(\.\/[^"]+)"/g)].map((each) => (Array.isArray(each) ? each[1] : each));
  const reached = new Set(["package.json", "README.md", "LICENSE", "CHANGELOG.md", "CMakeLists.txt", "native/solver/LICENSES.md", "dist/vendor/LICENSES.txt"]);
  const queue = [...named.filter((each) => each !== undefined).map((each) => posix.normalize(each)), "scripts/install.mjs"];
  const cmake = readIf(root, "CMakeLists.txt");
  // Files by name, and names of which CMake makes a path with an ending.
  for (const path of paths) {
    const stem = posix.basename(path).replace(/\.\w+$/, "");
    const isNamed = cmake.includes(path) || (/\.(cu|cpp)$/.test(path) && cmake.includes(`${posix.dirname(path)}/`) && new RegExp(`[\\s(]${stem}[\\s)]`).test(cmake));
    // A folder that stands in for headers of another library.
    const isDeclaration = /_declarations\//.test(path) && cmake.includes(path.replace(/(_declarations)\/.*$/, "$1"));
    if (path.startsWith("native/") && (isNamed || isDeclaration)) queue.push(path);
    const library = /^prebuilds\/[\w-]+\/(?:lib)?(astgnn\w*)\.(node|so|dylib)$/.exec(path)?.[1];
    if (library !== undefined && new RegExp(`add_library\\(${library} SHARED`).test(cmake)) reached.add(path);
  }
  while (queue.length > 0) {
    const path = queue.pop();
    if (!packed.has(path) || reached.has(path)) continue;
    reached.add(path);
    const text = read(root, path);
    if (/\.(c|m)?js$/.test(path)) {
      queue.push(path.replace(/\.(c?)js$/, ".d.$1ts"));
      for (const [, name] of text.matchAll(/(?:fileURLToPath\(new URL\(|import\.meta\.resolve\()"([^"]+)"/g)) queue.push(posix.join(posix.dirname(path), name));
      // From the package's root: join(packageRoot, "scripts", "sources.json").
      for (const [, list] of text.matchAll(/join\((?:packageRoot|root), ((?:"[^"]+"(?:, )?)+)\)/g)) queue.push(JSON.parse(`[${list}]`).join("/"));
      // scripts/install.mjs takes what it needs from dist/, old or new.
      for (const [, name] of text.matchAll(/\bload\("([^"]+)"\)/g)) queue.push(posix.join("dist", name));
    }
    // A module of types alone is imported by declarations only.
    if (/\.d\.c?ts$/.test(path)) queue.push(path.replace(/\.d\.(c?)ts$/, ".$1js"));
    if (/\.(c|m)?[jt]s$/.test(path)) for (const [, name] of text.matchAll(IMPORTS)) {
      const target = posix.join(posix.dirname(path), name);
      queue.push(target, target.replace(/\.(c?)js$/, ".d.$1ts"));
    }
    if (/\.(c|cpp|cu|h)$/.test(path)) for (const [, name] of text.matchAll(/#include "([^"]+)"/g)) queue.push(posix.join("native", name), posix.join(posix.dirname(path), name));
  }
  return paths.filter((path) => !reached.has(path));
}

/** CycloneDX 1.6: the package, what it contains and what npm installs with it. */
export function sbom(root) {
  const { name, version, license } = JSON.parse(read(root, "package.json"));
  const purl = (kind, name, version) => `pkg:${kind}/${name.replace(/^@/, "%40")}@${version}`;
  const components = parts(root).map((part) => ({
    type: "library",
    "bom-ref": `${purl(part.kind, part.name, part.version)}#${part.in}`,
    name: part.name,
    version: part.version,
    scope: "required",
    licenses: [/ (OR|AND) |\(/.test(part.licence) ? { expression: part.licence } : { license: { id: part.licence } }],
    purl: purl(part.kind, part.name, part.version),
    ...(part.integrity === undefined ? {} : { hashes: [{ alg: "SHA-512", content: Buffer.from(part.integrity.replace(/^sha512-/, ""), "base64").toString("hex") }] }),
    ...(part.checksum === undefined ? {} : { hashes: [{ alg: "SHA-256", content: part.checksum }] }),
    properties: [{ name: "astgnn:in", value: part.in }],
  }));
  const self = purl("npm", name, version);
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { type: "library", "bom-ref": self, name, version, purl: self, licenses: [{ license: { id: license } }] } },
    components: [...new Map(components.map((component) => [component["bom-ref"], component])).values()],
    dependencies: [{ ref: self, dependsOn: [...new Set(components.map((component) => component["bom-ref"]))] }],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const { values } = parseArgs({ options: { sbom: { type: "string" } } });
  if (values.sbom !== undefined) writeFileSync(values.sbom, `${JSON.stringify(sbom(root), null, 1)}\n`);
  for (const { name, version, licence, in: place } of parts(root)) console.log(`${place.padEnd(30)} ${`${name} ${version}`.padEnd(46)} ${licence}`);
}
