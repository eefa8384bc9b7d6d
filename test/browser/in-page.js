/* global document, window, NodeFilter */
// Runs inside the page: what is wrong with how it looks, as sentences.
() => {
  const faults = [];
  const isSeen = (element) => element.checkVisibility() && element.closest("[hidden]") === null;
  const name = (text) => JSON.stringify(text.trim().slice(0, 40));

  if (document.documentElement.scrollWidth > window.innerWidth + 1) faults.push(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${window.innerWidth}`);

  for (const figure of document.querySelectorAll("figure")) {
    const title = figure.querySelector("h3")?.textContent ?? "";
    const drawings = [...figure.querySelectorAll("svg")].filter(isSeen);
    if (drawings.length !== 1) faults.push(`${name(title)} shows ${drawings.length} charts`);
    for (const svg of drawings) {
      const box = svg.getBoundingClientRect();
      const marks = [...svg.querySelectorAll("path, rect, line, circle")].filter((mark) => mark.getBoundingClientRect().width + mark.getBoundingClientRect().height > 2);
      if (box.width < 200 || box.height < 60 || marks.length < 3) faults.push(`the chart of ${name(title)} is missing: ${marks.length} marks in ${Math.round(box.width)} x ${Math.round(box.height)} px`);
      for (const text of svg.querySelectorAll("text")) {
        const { left, right, top, bottom } = text.getBoundingClientRect();
        if (right > left && (left < box.left - 2 || right > box.right + 2 || top < box.top - 2 || bottom > box.bottom + 3)) faults.push(`${name(text.textContent)} leaves the chart of ${name(title)}`);
      }
    }
  }

  for (const table of document.querySelectorAll("table")) {
    if (!isSeen(table)) continue;
    const [box, frame] = [table.getBoundingClientRect(), table.parentElement.getBoundingClientRect()];
    const scrolls = window.getComputedStyle(table.parentElement).overflowX === "auto";
    if (box.width > frame.width + 1 && (!scrolls || window.innerWidth > 1000)) faults.push(`the table ${name(table.parentElement.ariaLabel ?? "")} overflows: ${Math.round(box.width)} px in ${Math.round(frame.width)}`);
  }

  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    if (node.data.trim() === "" || !isSeen(node.parentElement) || node.parentElement.closest(".scroll, .skip, style") !== null) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const { left, right, top, bottom } of range.getClientRects()) {
      // The line box is higher than the letters.
      const trim = (bottom - top) * 0.22;
      if (right - left > 1) boxes.push({ node, text: node.data, left, right, top: top + trim, bottom: bottom - trim });
    }
  }
  boxes.sort((a, b) => a.top - b.top);
  for (const [i, a] of boxes.entries()) {
    for (let k = i + 1; k < boxes.length && boxes[k].top < a.bottom; k++) {
      const b = boxes[k];
      if (a.node !== b.node && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1) faults.push(`${name(a.text)} lies over ${name(b.text)}`);
    }
  }
  return faults;
};
