/** Colours of every page that the package writes, for light and dark. */
export const PALETTE = `
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --panel: #f4f4ef; --ink: #1b1f24; --muted: #5a626b; --line: #d9dad4; --grid: #e7e7e1; --zero: #9a9d9a;
  --first: #1c5fa8; --first-soft: #b9cfe6; --band: #1c5fa826; --second: #b4530f; --third: #3f7d3a; --chance: #eaeae4;
  --good: #2a6b33; --good-soft: #e3efe2; --bad: #a3232b; --bad-soft: #f7e3e2; --open: #76520b; --open-soft: #f6ecd4;
  --d0: #a63c14; --d1: #cc6f42; --d2: #e5a37e; --d3: #f3d3c0; --d4: #eeeee8; --d5: #cddcec; --d6: #97b9dc; --d7: #5a90c6; --d8: #1f62a6;
  --d0-ink: #fff; --d1-ink: #1b1f24; --d2-ink: #1b1f24; --d3-ink: #1b1f24; --d4-ink: #1b1f24; --d5-ink: #1b1f24; --d6-ink: #1b1f24; --d7-ink: #1b1f24; --d8-ink: #fff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --panel: #1c2026; --ink: #e9ebed; --muted: #a2abb5; --line: #353b43; --grid: #272c33; --zero: #6b737c;
    --first: #7fb4ee; --first-soft: #2f4a68; --band: #7fb4ee33; --second: #eda063; --third: #8ec587; --chance: #23282e;
    --good: #8fd196; --good-soft: #1d3122; --bad: #f29a9a; --bad-soft: #3a2022; --open: #e6c06a; --open-soft: #332a17;
    --d0: #e58a5b; --d1: #b8643a; --d2: #7f482e; --d3: #4c3329; --d4: #292d32; --d5: #283a4e; --d6: #30557c; --d7: #4680b8; --d8: #7fb4ee;
    --d0-ink: #14171b; --d1-ink: #fff; --d2-ink: #e9ebed; --d3-ink: #e9ebed; --d4-ink: #e9ebed; --d5-ink: #e9ebed; --d6-ink: #e9ebed; --d7-ink: #14171b; --d8-ink: #14171b;
  }
}
`;
