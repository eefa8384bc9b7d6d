#!/usr/bin/env node
import { main } from "./program.js";

// A reader that goes away, as in `astgnn train --json | head`, ends the command, and a stack would not help.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(1);
  throw error;
});

process.exitCode = await main(process.argv.slice(2));
