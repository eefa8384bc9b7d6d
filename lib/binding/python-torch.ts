import { existsSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";

/**
 * Folders of the torch packages that the Python in use would import, nearest first: the active virtual or conda environment,
 * then each python3 on PATH (with its user packages). Only file names are looked at; no Python is started.
 */
export function pythonTorchFolders(env: NodeJS.ProcessEnv = process.env): string[] {
  const home = env["HOME"] ?? homedir();
  const prefixes: string[] = [];
  for (const name of ["VIRTUAL_ENV", "CONDA_PREFIX"]) {
    const prefix = env[name];
    if (prefix !== undefined && prefix !== "") prefixes.push(prefix);
  }
  for (const folder of (env["PATH"] ?? "").split(delimiter)) {
    if (folder === "") continue;
    const python = join(folder, "python3");
    if (!existsSync(python)) continue;
    if (folder.endsWith("/shims")) {
      prefixes.push(...pyenvPrefixes(dirname(folder), env));
      continue;
    }
    // The prefix as written is a virtual environment's; the one behind the link is the installation's.
    prefixes.push(dirname(folder), dirname(dirname(realpathSync(python))));
  }
  const folders = [...prefixes, join(home, ".local")].flatMap(sitePackages).map((folder) => join(folder, "torch"));
  return [...new Set(folders)].filter((folder) => existsSync(join(folder, "lib")));
}

function sitePackages(prefix: string): string[] {
  const library = join(prefix, "lib");
  let names: string[] = [];
  try {
    names = readdirSync(library).filter((name) => /^python3(\.\d+)?$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => [join(library, name, "site-packages"), join(library, name, "dist-packages")]);
}

/** pyenv's shims are scripts: the version that is active follows from its environment variable or version files. */
function pyenvPrefixes(root: string, env: NodeJS.ProcessEnv): string[] {
  const read = (file: string): string | undefined => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return undefined;
    }
  };
  const chosen = env["PYENV_VERSION"] ?? read(join(process.cwd(), ".python-version")) ?? read(join(root, "version")) ?? "";
  return chosen
    .split(/[\s:]+/)
    .filter((version) => version !== "")
    .map((version) => join(root, "versions", version));
}
