/** Advance widths of Helvetica's characters 32 to 126, in thousandths of the font size; Arial and Liberation Sans have the same. */
const WIDTHS = [
  278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667,
  611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
const PUNCTUATION: Readonly<Record<string, number>> = { "…": 1000, "—": 1000, "–": 556, "−": 584, "’": 222, "\u00a0": 278, "\u202f": 278, "·": 278 };
/** Of any other character: as wide as letters of most scripts are. */
const OTHER = 1000;

/** Width of a line of text in pixels. */
export function textWidth(text: string, fontSize: number): number {
  let sum = 0;
  for (const character of text) sum += WIDTHS[character.codePointAt(0)! - 32] ?? PUNCTUATION[character] ?? (character.length === 1 && character < "\u0250" ? 667 : OTHER);
  return (sum * fontSize) / 1000;
}

/** The text, cut with an ellipsis where it is wider than `limit` pixels. */
export function shortened(text: string, fontSize: number, limit: number): string {
  if (textWidth(text, fontSize) <= limit) return text;
  const characters = [...text];
  while (characters.length > 1 && textWidth(`${characters.join("")}…`, fontSize) > limit) characters.pop();
  return `${characters.join("").trimEnd()}…`;
}
