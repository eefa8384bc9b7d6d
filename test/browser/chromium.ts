import { execFileSync } from "node:child_process";
import { chromium, type Browser } from "playwright-core";

/** Debian's Chromium, or whichever the machine has. */
function findChromium(): string | undefined {
  for (const name of [process.env["ASTGNN_CHROMIUM"], "chromium", "chromium-browser", "google-chrome"]) {
    if (name === undefined) continue;
    try {
      return execFileSync("sh", ["-c", 'command -v "$0"', name], { encoding: "utf8" }).trim();
    } catch {
      // Not under this name.
    }
  }
  return undefined;
}

export const chromiumPath = findChromium();

/** A headless browser. Containers have no user namespaces for its sandbox, and the page that it opens is our own. */
export async function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath!, args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"] });
}
