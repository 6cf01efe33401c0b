"""Makes a rendered page readable by keyboard, screen reader and on a narrow screen, as far as the
page's source cannot: what Quarto, pandas and nbdev write, put right in the HTML. site_finish.py
applies it to each page."""

from __future__ import annotations

import re

# A box that scrolls sideways can be reached by keyboard, but only while it scrolls: else each
# listing would be a stop. Quarto's script makes the search field; it gets its name here.
SCRIPT = """<script id="site-access">
window.addEventListener("load", function () {
  const watch = new ResizeObserver(seen => seen.forEach(function (entry) {
    const box = entry.target, scrolls = box.scrollWidth > box.clientWidth + 1;
    const told = {tabindex: "0", role: "group", "aria-label": "scrolls sideways"};
    for (const name in told) {
      if (scrolls) box.setAttribute(name, told[name]); else box.removeAttribute(name);
    }
  }));
  document.querySelectorAll("main .scrolls, main .ledger, main pre, main div.sourceCode")
    .forEach(box => watch.observe(box));
  document.querySelectorAll(".aa-DetachedSearchButton, .aa-Autocomplete")
    .forEach(part => part.setAttribute("aria-label", "Search"));
  document.addEventListener("keydown", function (event) {
    if (event.target.matches("a[role=button]") && ["Enter", " "].includes(event.key)) {
      event.preventDefault();
      event.target.click();
    }
  });
});
</script>
"""
# what Quarto's template leaves without a name, or with a role that does not fit
TEMPLATE = (
    ('<nav class="navbar ', '<nav aria-label="Parts" class="navbar '),
    ('<nav class="quarto-secondary-nav"', '<nav aria-label="Place" class="quarto-secondary-nav"'),
    ('<nav id="quarto-sidebar"', '<nav aria-label="Pages" id="quarto-sidebar"'),
    ('<nav class="page-navigation"', '<nav aria-label="Next to this" class="page-navigation"'),
    ('aria-controls="navbarCollapse" role="menu"', 'aria-controls="navbarCollapse"'),
    ('<a class="flex-grow-1" role="navigation"', '<a class="flex-grow-1" aria-hidden="true"'),
)
TOGGLE = re.compile(r'(<a class="sidebar-item-toggle[^>]*) role="navigation"')
HEAD = re.compile(r"<th\b([^>]*)>\s*</th>")
BOXED = re.compile(
    r'(<(?:div|span) class="scrolls">)?(<table\b.*?</table>|<math display="block".*?</math>)',
    flags=re.S,
)
ONE_LINE = re.compile(r'(<div class="cell-output[^>]*>\s*)<pre>(<code>[^\n]*</code></pre>)')
AUDIO = re.compile(r"<h[1-6]\b[^>]*>(.*?)</h[1-6]>|<audio\b(?![^>]*\baria-label=)", flags=re.S)
NAMES = re.compile(
    r'(<a href="#[^"]*" id="toc-[^>]*>|<span class="nav-page-text">|'
    r'<li class="breadcrumb-item"><a\b[^>]*>)(.*?)(?=</a>|</span>)',
    flags=re.S,
)
SUMMARY = re.compile(r'(<h3\b[^>]*>[^<]*</h3>\s*<div class="sourceCode"[^>]*><pre\b[^>]*>'
                     r"(?:(?!</pre>).)*</pre></div>\s*<p>)<em>(.*?)</em>", flags=re.S)  # fmt: skip


def boxed(html: str) -> str:
    """Each table and each formula on a line of its own in a box that scrolls sideways, except
    tables that come in such a box, which Quarto is told not to process."""

    def in_box(found: re.Match) -> str:
        box, inner = found.groups()
        if box or "data-quarto-disable-processing" in inner.partition(">")[0]:
            return found[0]
        tag = "div" if inner.startswith("<table") else "span"
        return f'<{tag} class="scrolls">{inner}</{tag}>'

    return BOXED.sub(in_box, html)


def audio_named(html: str) -> str:
    """A name for each audio player: the heading above it."""
    above = "this page"

    def name(found: re.Match) -> str:
        nonlocal above
        if found[1] is None:
            return f'<audio aria-label="Audio of: {above}"'
        above = re.sub(r"<[^>]+>", "", found[1]).strip().replace('"', "&quot;")
        return found[0]

    return AUDIO.sub(name, html)


def breakable(html: str) -> str:
    """Names of modules and functions in lists of contents, which may break after a dot or an
    underscore."""

    def with_breaks(found: re.Match) -> str:
        return found[1] + re.sub(r"(?<=\w)([._])(?=\w)", r"\1<wbr>", found[2])

    return NAMES.sub(with_breaks, html)


def accessible(html: str) -> str:
    """The page with names for its navigation and its players, no empty header cells, tables and
    formulas in boxes that scroll, outputs of one line that wrap, and docstrings as one text (of
    which nbdev sets the first line in italics). Other HTML, such as a timeline, stays as it is."""
    if 'id="quarto-content"' not in html:
        return html
    for before, after in TEMPLATE:
        html = html.replace(before, after)
    html = TOGGLE.sub(r'\1 role="button" tabindex="0"', html)
    html = HEAD.sub(r"<td\1></td>", html)
    html = ONE_LINE.sub(r'\1<pre class="wraps">\2', html)
    html = SUMMARY.sub(r"\1\2", html)
    html = breakable(audio_named(boxed(html)))
    if 'id="site-access"' not in html:
        html = html.replace("</body>", f"{SCRIPT}</body>")
    return html
