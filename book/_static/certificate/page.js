/* The page around checker.js: a list of the committed certificates, a field to change them in, and the answer. */
(function () {
  "use strict";
  const { refusal, all } = globalThis.ngdCertificates;
  const box = document.getElementById("certificate-checker");

  const make = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const names = Object.keys(all).map((name) => make("option", { value: name }, name));
  const choice = make("select", { id: "certificate-choice" }, ...names);
  const field = make("textarea", { id: "certificate-text", spellcheck: false });
  const answer = make("output", {});
  answer.setAttribute("aria-live", "polite");

  /* one line for each term, so that a sign is easily found */
  const spread = (data) => JSON.stringify(data, null, 1)
    .replace(/\[\s+((?:"[^"]*"|\d+|true|false)(?:,\s+(?:"[^"]*"|\d+|true|false))*)\s+\]/g, (_, inner) => `[${inner.replace(/,\s+/g, ", ")}]`)
    .replace(/\[\s+("[^"]*"(?:,\s+(?:\[[^[\]]*\]|\d+|true|false))+)\s+\]/g, (_, inner) => `[${inner.replace(/,\s+/g, ", ")}]`);

  function judge() {
    let reason;
    let data;
    try {
      data = JSON.parse(field.value);
      reason = refusal(data);
    } catch (error) {
      reason = `this is no JSON: ${error.message}`;
    }
    answer.className = reason === null ? "accepted" : "refused";
    const count = data?.cofactors?.flat?.().length;
    answer.textContent = reason === null
      ? `✓ Accepted: ${data.claims.length} claim${data.claims.length > 1 ? "s" : ""}, ${count} term${count === 1 ? "" : "s"}, for matrices of every size.`
      : `✗ Refused: ${reason}.`;
  }
  function show() {
    field.value = spread(all[choice.value]);
    judge();
  }
  function turn() {
    const signs = [...field.value.slice(Math.max(0, field.value.indexOf('"cofactors"'))).matchAll(/\["(-?)(\d)/g)];
    if (!signs.length) return;
    const { index, 1: minus, 2: digit } = signs[Math.floor(Math.random() * signs.length)];
    const at = Math.max(0, field.value.indexOf('"cofactors"')) + index;
    const old = `["${minus}${digit}`, fresh = `["${minus ? "" : "-"}${digit}`;
    field.setRangeText(fresh, at, at + old.length, "select");
    field.focus();
    judge();
  }
  choice.value = all["inverse-invariance"] ? "inverse-invariance" : names[0].value;
  choice.addEventListener("change", show);
  field.addEventListener("input", judge);
  box.append(
    make("label", { htmlFor: choice.id }, "Certificate of"), choice,
    make("button", { type: "button", onclick: turn }, "Turn a sign"),
    make("button", { type: "button", onclick: show }, "Put it back"),
    answer,
    make("label", { htmlFor: field.id }, "Its text; change what you like, or paste another"), field);
  show();
})();
