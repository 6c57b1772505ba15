/// Formulas, set by KaTeX as MathML, which the browser draws and screen readers read. Loaded when the first one is seen.

let katex: Promise<typeof import("katex").default> | null = null;

/// Sets the formulas in an element that are not set yet.
export async function typeset(element: HTMLElement): Promise<void> {
  const formulas = [...element.querySelectorAll<HTMLElement>(".math:not(.set)")];
  if (!formulas.length) return;
  katex ??= import("katex").then((module) => module.default);
  let render;
  try {
    ({ render } = await katex);
  } catch {
    katex = null; // without the server, formulas stay as they were written; the next one asks again
    return;
  }
  for (const formula of formulas) {
    if (formula.classList.contains("set")) continue;
    formula.classList.add("set");
    const displayMode = formula.dataset.display === "yes";
    render(formula.dataset.tex ?? "", formula, { displayMode, output: "mathml", throwOnError: false, trust: false });
  }
}
