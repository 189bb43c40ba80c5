// The script of the console: keys, copying, and the theme. Pages work without it.
"use strict";
(() => {
  const of = (selector, root = document) => [...root.querySelectorAll(selector)];
  const announce = (text) => { const place = document.getElementById("announce"); if (place) place.textContent = text; };
  const isTyping = (place) => place instanceof HTMLElement
    && (place.isContentEditable || (place.matches("input, textarea, select") && !place.matches("[type=checkbox], [type=radio], [type=submit], [type=button]")));
  const isVisible = (place) => place.getClientRects().length > 0;

  // Rows: j and k move the focus through the first link or button of each row.
  const move = (step) => {
    const rows = of("[data-row]").filter(isVisible);
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step))];
    const place = row.matches("a, button, summary, input, [tabindex]") ? row : row.querySelector("a, button, summary, input, [tabindex]");
    if (place) { place.focus(); place.scrollIntoView({ block: "nearest" }); }
  };

  const keys = document.getElementById("keys");
  const showKeys = () => {
    if (!keys || keys.open) return;
    const list = keys.querySelector("[data-own-keys]");
    list.replaceChildren(...of("[data-key]").filter((place) => isVisible(place) && !keys.contains(place)).map((place) => {
      const [row, term, meaning, key] = ["div", "dt", "dd", "kbd"].map((name) => document.createElement(name));
      key.textContent = place.dataset.key;
      const label = place.labels && place.labels[0] ? place.labels[0] : place;
      meaning.textContent = place.dataset.keyTitle || place.getAttribute("aria-label")
        || [...label.childNodes].filter((node) => node.nodeName !== "KBD").map((node) => node.textContent).join(" ").trim();
      term.append(key);
      row.append(term, meaning);
      return row;
    }));
    keys.showModal();
  };

  const use = (place) => {
    if (place.matches("input:not([type=checkbox], [type=radio]), textarea, select")) { place.focus(); if (place.select) place.select(); } else { place.click(); }
  };

  let goesUntil = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape" && isTyping(document.activeElement)) { document.activeElement.blur(); return; }
    if (isTyping(event.target) || (keys && keys.open)) return;
    const goes = event.timeStamp < goesUntil;
    goesUntil = 0;
    const find = (attribute) => of(`[data-${attribute}="${CSS.escape(event.key)}"]`).find(isVisible);
    const target = goes ? find("go") : find("key");
    if (target) { event.preventDefault(); use(target); return; }
    if (goes) return;
    switch (event.key) {
      case "g": goesUntil = event.timeStamp + 1500; break;
      case "j": move(1); break;
      case "k": move(-1); break;
      case "?": event.preventDefault(); showKeys(); break;
      case "/": {
        const filter = of("[data-filter], input[type=search]").find(isVisible);
        if (filter) { event.preventDefault(); use(filter); }
        break;
      }
    }
  });

  document.addEventListener("click", async (event) => {
    const place = event.target instanceof Element ? event.target.closest("[data-copy], [data-keys-button], [data-theme-button]") : null;
    if (!place) return;
    if (place.matches("[data-copy]")) {
      try { await navigator.clipboard.writeText(place.dataset.copy); announce("Copied"); place.classList.add("done"); } catch { announce("The browser does not allow copying"); }
    } else if (place.matches("[data-keys-button]")) {
      showKeys();
    } else {
      const root = document.documentElement;
      const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = isDark ? "light" : "dark";
      document.cookie = `guardproxy_theme=${root.dataset.theme}; path=/console; max-age=31536000; samesite=strict`;
      announce(`Theme: ${root.dataset.theme}`);
    }
  });

  // The link that `guardproxy demo` prints carries a login behind #, which browsers send to nobody.
  const form = document.querySelector("form[data-sign-in]");
  if (form && location.hash.includes(":")) {
    const [name, token] = decodeURIComponent(location.hash.slice(1)).split(":");
    form.elements.name.value = name;
    form.elements.token.value = token;
    history.replaceState(null, "", location.pathname + location.search);
    form.querySelector("button").focus();
  }

  // A stream of events: htmx connects again by itself. A person sees that the page stands still, and who is signed out signs in.
  const follows = (isFollowing) => {
    for (const place of of("[data-follows]")) place.hidden = isFollowing;
    if (!isFollowing) announce("The page does not follow the proxy at the moment");
  };
  document.addEventListener("htmx:sse:error", (event) => {
    if (event.detail && event.detail.status === 401) { location.reload(); return; }
    follows(false);
  });
  document.addEventListener("htmx:sse:after:connection", () => follows(true));
})();
