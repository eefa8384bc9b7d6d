#!/usr/bin/env node
import { main } from "./program.js";

// A reader that goes away, as in `astgnn train --json | head`, is not an error worth a stack.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await main(process.argv.slice(2));
