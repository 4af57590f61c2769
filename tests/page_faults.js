// What may be wrong with a page: each function gives what it found in words, and an empty list is well.
globalThis.faults = (() => {
  const REACHABLE = 'a[href], summary, button, input, select, [tabindex="0"]';
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const start = element => element.innerText.trim().slice(0, 40);

  // Relative luminance and contrast as WCAG 2 defines them.
  const channels = text => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return {rgb: [r, g, b], a};
  };
  const over = (top, below) => top.rgb.map((c, i) => c * top.a + below[i] * (1 - top.a));
  const luminance = rgb => rgb.map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ratio = (one, two) => {
    const [low, high] = [luminance(one), luminance(two)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  // Text lies on the nearest ancestors that are painted.
  const backdrop = element => element === null ? [255, 255, 255]
    : over(channels(getComputedStyle(element).backgroundColor), backdrop(element.parentElement));

  return {
    open() { all('details').forEach(one => one.open = true) },

    faintText(least) {
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || !element.checkVisibility()) continue;
        const below = backdrop(element);
        const seen = ratio(over(channels(getComputedStyle(element).color), below), below);
        if (seen < least) found.push(`${seen.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
      }
      return found;
    },

    tooWide() {
      const root = document.documentElement, found = [];
      if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} wide in ${root.clientWidth}`);
      for (const box of all('table').map(table => table.closest('.scroll') ?? table)) {
        const right = box.getBoundingClientRect().right;
        if (right > root.clientWidth + .5) found.push(`${box.tagName} reaches to ${right} of ${root.clientWidth}`);
      }
      return found;
    },

    // The first column names the row, the second has the figure to be read first.
    headlinesOutOfSight() {
      const found = [];
      for (const box of all('.scroll').filter(one => one.checkVisibility())) {
        box.scrollIntoView();
        const left = box.getBoundingClientRect().left, right = left + box.clientWidth;
        const shown = all('tr', box).filter(row => row.checkVisibility()).map(row => [...row.children]);
        const rows = shown.filter(row => row[0]?.tagName == 'TH');
        for (const second of rows.map(row => row[1]).filter(Boolean)) {
          const beyond = second.getBoundingClientRect().right - right;
          if (beyond > .5) found.push(`${start(second)} ends ${beyond} out of sight`);
        }
        for (const [name] of rows) {
          name.scrollIntoView({block: 'center'});
          box.scrollLeft = box.scrollWidth;
          const at = name.getBoundingClientRect();
          const seen = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2);
          if (Math.abs(at.left - left) > 1 || !name.contains(seen)) found.push(`${start(name)} is away when scrolled`);
        }
        box.scrollLeft = 0;
      }
      return found;
    },

    withoutCaption() {
      const caption = one => one.caption ?? one.closest('figure')?.querySelector('figcaption');
      return all('table, figure').filter(one => !caption(one)?.innerText.trim()).map(start);
    },

    reachable() { return all(REACHABLE).length },

    focused() {
      const one = document.activeElement, style = getComputedStyle(one), at = one.getBoundingClientRect();
      const label = document.getElementById(one.getAttribute('aria-labelledby'))?.innerText.trim();
      return {
        place: all(REACHABLE).indexOf(one),
        text: start(one),
        outlined: one.matches(':focus-visible') && style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 2,
        seen: at.bottom > 0 && at.top < innerHeight,
        named: Boolean(one.tabIndex == 0 && one.hasAttribute('tabindex') ? one.getAttribute('role') && label : start(one)),
        folded: one.tagName == 'SUMMARY' && !one.parentElement.open,
        wide: one.matches('.scroll') && one.scrollWidth > one.clientWidth + 1,
      };
    },

    cutInPrint() {
      const main = document.querySelector('main').getBoundingClientRect(), found = [];
      for (const cell of all('th, td, caption, figcaption')) {
        const cut = cell.getBoundingClientRect().right > main.right + 1 || cell.scrollWidth > cell.clientWidth + 1;
        if (cut) found.push(`cut: ${start(cell)}`);
      }
      for (const folded of all('details > :not(summary)'))
        if (!folded.checkVisibility({contentVisibilityAuto: true}) || folded.getBoundingClientRect().height < 10)
          found.push(`not printed: ${start(folded)}`);
      const whole = [['h2', 'breakAfter'], ['figure.table > figcaption', 'breakAfter'], ['tr', 'breakInside']];
      for (const [kind, rule] of whole)
        for (const one of all(kind))
          if (getComputedStyle(one)[rule] != 'avoid') found.push(`torn: ${start(one)}`);
      return found;
    },

    firstScreen() {
      return all('.verdict dt').filter(one => one.getBoundingClientRect().bottom < innerHeight).map(start);
    },
  };
})();
