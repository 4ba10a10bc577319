/* A second checker of certificates, written apart from ngdsym/proof/certificate.py: it shares no code with it, and the
   tests hold that both say the same. A certificate is refused by throwing a sentence; what is not known is refused. */
(function (scope) {
  "use strict";
  const RAISED = "ʰ-ʸᴬ-ᵡᶛ-ᶿ⁰ⁱ⁴-⁹ⁿ¹²³";   // read as powers and transposes
  const SIGN = `(?![${RAISED}])[\\p{L}\\p{N}_]`;
  const WORD = `(?!\\p{Nd})${SIGN}(?:${SIGN}|[\\u0300-\\u036f])*(?:⁻(?![${RAISED}]))?`;
  let nested = "[^\\s()=]*";
  for (let depth = 0; depth < 9; depth++) nested = `[^\\s()=]*(?:\\(${nested}\\)[^\\s()=]*)*`;
  const NAME = new RegExp(`^(?:${WORD}|${WORD}(?:⁻¹|⁺)|\\(${nested}\\)(?:⁻¹|⁺))'?$`, "u");
  const PARTS = ["letters", "assumptions", "claims", "cofactors", "latex", "positive", "lemmas", "witness"];

  class Refused extends Error {}
  const need = (condition, sentence) => { if (!condition) throw new Refused(sentence); };
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const isList = Array.isArray;
  const isObject = (x) => typeof x === "object" && x !== null && !isList(x);

  /* exact rational numbers: [numerator, denominator], denominator > 0, in lowest terms */
  const gcd = (a, b) => { while (b) [a, b] = [b, a % b]; return a < 0n ? -a : a; };
  function ratio(p, q) {
    need(q !== 0n, "a division by zero");
    const g = gcd(p, q) * (q < 0n ? -1n : 1n);
    return [p / g, q / g];
  }
  const plus = ([a, b], [c, d]) => ratio(a * d + c * b, b * d);
  const times = ([a, b], [c, d]) => ratio(a * c, b * d);
  const negative = ([a, b]) => [-a, b];
  const isZero = ([a]) => a === 0n;
  const ZERO = [0n, 1n];
  const ONE = [1n, 1n];
  function number(text) {
    const found = /^([+-]?\d+)(?:\/(\d+))?$/.exec(Number.isSafeInteger(text) ? String(text) : text);
    need(typeof text !== "boolean" && found, `${JSON.stringify(text)} is no fraction`);
    return ratio(BigInt(found[1]), BigInt(found[2] ?? 1));
  }

  /* letters, words and polynomials with their types */
  class Alphabet {
    constructor(letters) {
      need(isObject(letters), "no letters are declared");
      this.letters = new Map(Object.entries(letters));
      for (const [x, entry] of this.letters) {
        need(NAME.test(x), `“${x}” cannot name a letter`);
        need(isList(entry) && entry.length === 3, `${x} needs rows, columns and transpose`);
        const [rows, columns, t] = entry;
        need(x.endsWith("'") ? x === t + "'" : t === x || t === x + "'", `${t} cannot be the transpose of ${x}`);
        need(same(this.letters.get(t), [columns, rows, x]), `${x} and its transpose ${t} disagree`);
      }
    }
    get(x) {
      need(typeof x === "string" && this.letters.has(x), `undeclared letter ${JSON.stringify(x)}`);
      return this.letters.get(x);
    }
    shape(word, ifEmpty) {
      need(isList(word), `${JSON.stringify(word)} is no product`);
      const types = word.map((x) => this.get(x));
      for (let i = 1; i < types.length; i++)
        need(types[i - 1][1] === types[i][0], `ill-typed product ${word.join(" ")}`);
      return types.length ? [types[0][0], types.at(-1)[1]] : ifEmpty;
    }
    read(polynomial) {
      need(isList(polynomial) && polynomial.every((term) => isList(term) && term.length === 2), "a sum is malformed");
      const shapes = polynomial.filter(([, word]) => word.length).map(([, word]) => this.shape(word));
      need(shapes.length && shapes.every((shape) => same(shape, shapes[0])), "terms of different type, or no letters");
      const [rows, columns] = shapes[0];
      need(rows === columns || polynomial.every(([, word]) => word.length), "1 in a rectangular sum");
      return { rows, columns, terms: polynomial.map(([c, word]) => [number(c), word]) };
    }
    transpose({ rows, columns, terms }) {
      const mirrored = terms.map(([c, word]) => [c, word.map((x) => this.get(x)[2]).reverse()]);
      return { rows: columns, columns: rows, terms: mirrored };
    }
  }

  /* a sum of words that must cancel; in trace a word stands for all its rotations */
  class Sum {
    constructor(inTrace) {
      this.inTrace = inTrace;
      this.rest = new Map();
    }
    add(c, word, size) {
      let key = JSON.stringify(word);
      if (this.inTrace && !word.length) key = `1 of size ${size}`;
      else if (this.inTrace)
        key = word.map((_, i) => JSON.stringify([...word.slice(i), ...word.slice(0, i)])).sort()[0];
      this.rest.set(key, plus(this.rest.get(key) ?? ZERO, c));
    }
    mustVanish(what) {
      const left = [...this.rest].filter(([, c]) => !isZero(c)).map(([key]) => key.replace(/[[\]"]/g, "").replace(/,/g, " "));
      need(!left.length, `the proof of ${what} leaves over ${left.slice(0, 3).map((word) => word || "1").join(", ")}` +
           (left.length > 3 ? ` and ${left.length - 3} more` : ""));
    }
  }

  function subtractCofactors(sum, cofactors, facts, alphabet, shape) {
    need(isList(cofactors), "no list of cofactors");
    for (const term of cofactors) {
      need(isList(term) && term.length === 5, "a cofactor needs number, left, assumption, transposed, right");
      const [c, left, k, transposed, right] = term;
      need(Number.isInteger(k) && k >= 0 && k < facts.length, `there is no assumption ${k}`);
      need([0, 1, true, false].includes(transposed), "transposed is 0 or 1");
      const fact = transposed ? alphabet.transpose(facts[k]) : facts[k];
      const [rows, x] = alphabet.shape(left, [fact.rows, fact.rows]);
      const [y, columns] = alphabet.shape(right, [fact.columns, fact.columns]);
      need(x === fact.rows && y === fact.columns && (sum.inTrace ? rows === columns : same([rows, columns], shape)),
           `ill-typed cofactor ${left.join(" ")} · (${k}) · ${right.join(" ")}`);
      for (const [a, word] of fact.terms)
        sum.add(negative(times(number(c), a)), [...left, ...word, ...right], rows);
    }
  }

  function proveEquation(polynomial, cofactors, facts, alphabet, what) {
    const equation = alphabet.read(polynomial);
    const sum = new Sum(false);
    for (const [c, word] of equation.terms) sum.add(c, word);
    subtractCofactors(sum, cofactors, facts, alphabet, [equation.rows, equation.columns]);
    sum.mustVanish(what);
    return [equation];
  }

  /* Σ c Xᵀ M X = 0 with c > 0 and M positive: every X vanishes, or M X where M is only semidefinite */
  function proveSquares(lemma, facts, alphabet, positive, what) {
    need(typeof lemma.trace === "boolean" && isList(lemma.squares), "a lemma of squares is malformed");
    const sum = new Sum(lemma.trace);
    const roots = [];
    let shape;
    for (const [c, X, weight] of lemma.squares) {
      const root = alphabet.read(X);
      need(number(c)[0] > 0n && isList(weight) && weight.length < 2, "no sum of squares: a factor is not positive");
      need(lemma.trace || shape === undefined || shape[0] === root.columns, "squares of different size");
      for (const M of weight) {
        need(Object.hasOwn(positive, M) && ["pd", "psd"].includes(positive[M]), `${M} is not declared positive`);
        need(same(alphabet.get(M), [root.rows, root.rows, M]), `${M} is no symmetric weight of this square`);
      }
      for (const [a, left] of alphabet.transpose(root).terms)
        for (const [b, right] of root.terms)
          sum.add(times(number(c), times(a, b)), [...left, ...weight, ...right], root.columns);
      const kept = weight.filter((M) => positive[M] === "psd");
      roots.push({ ...root, terms: root.terms.map(([a, word]) => [a, [...kept, ...word]]) });
      shape = [root.columns, root.columns];
    }
    subtractCofactors(sum, lemma.cofactors, facts, alphabet, shape);
    sum.mustVanish(what);
    return roots;
  }

  /* a size such as 2*n + 1 */
  function size(text, sizes) {
    const tokens = text.match(/\d+|[\p{L}_][\p{L}\p{N}_]*|\*\*|[-+*/()]|\S/gu) ?? [];
    const take = (...wanted) => (wanted.includes(tokens[0]) ? tokens.shift() : null);
    function atom() {
      const token = tokens.shift() ?? "";
      if (token === "-") return negative(power());
      if (token === "(") { const inner = sum(); need(take(")"), `${text} is no size`); return inner; }
      if (/^\d+$/.test(token)) return ratio(BigInt(token), 1n);
      need(Object.hasOwn(sizes, token), `${text} is no size`);
      return number(sizes[token]);
    }
    function power() {
      const base = atom();
      if (!take("**")) return base;
      const [exponent, one] = atom();
      need(one === 1n && exponent >= 0n && exponent < 100n, `${text} is no size`);
      return ratio(base[0] ** exponent, base[1] ** exponent);
    }
    function product() {
      let value = power();
      for (let sign; (sign = take("*", "/"));) {
        const [p, q] = power();
        value = times(value, sign === "*" ? [p, q] : ratio(q, p));
      }
      return value;
    }
    function sum() {
      let value = product();
      for (let sign; (sign = take("+", "-"));) value = plus(value, sign === "+" ? product() : negative(product()));
      return value;
    }
    const value = sum();
    need(!tokens.length, `${text} is no size`);
    return value;
  }

  const flip = (rows) => rows[0].map((_, j) => rows.map((row) => row[j]));
  const multiply = (a, b) => a.map((row) => flip(b).map((column) =>
    row.reduce((total, c, k) => plus(total, times(c, column[k])), ZERO)));

  /* the example matrices have the shapes, are each other's transposes, and keep the assumptions */
  /** Whether a symmetric matrix is positive (semi)definite: by elimination, all pivots > 0, or 0 with a row of zeros. */
  function isPositive(matrix, definite) {
    const A = matrix.map((row) => [...row]);
    return A.every((row, k) => {
      const [p, q] = row[k];
      if (p < 0n || (p === 0n && (definite || !row.slice(k).every(isZero)))) return false;
      if (p > 0n)
        for (let i = k + 1; i < A.length; i++) {
          const factor = negative(times(A[i][k], ratio(q, p)));
          A[i] = A[i].map((entry, j) => plus(entry, times(factor, row[j])));
        }
      return true;
    });
  }

  function checkWitness({ matrices, sizes }, alphabet, positive, facts) {
    if (matrices === undefined || matrices === null) return;
    const values = new Map();
    for (const [x, rows] of Object.entries(matrices)) values.set(x, rows.map((row) => row.map(number)));
    for (const [x, [, , t]] of alphabet.letters)
      if (!values.has(x)) { need(values.has(t), `no example of ${x}`); values.set(x, flip(values.get(t))); }
    const text = (rows) => rows.map((row) => row.join(" ")).join("; ");
    for (const [x, [rows, columns, t]] of alphabet.letters) {
      const value = values.get(x);
      need(value.length && value.length === sizes[rows] && value.every((row) => row.length === sizes[columns]),
           `the example of ${x} has the wrong shape`);
      need(text(value) === text(flip(values.get(t))), `the examples of ${x} and its transpose ${t} disagree`);
    }
    for (const [x, kind] of Object.entries(positive))
      need(isPositive(values.get(x), kind === "pd"), `the example of ${x} is not positive`);
    for (const [name, value] of Object.entries(sizes))
      if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name))
        need(same(size(name, sizes).map(String), number(value).map(String)), `the example has ${name} = ${value}`);
    facts.forEach(({ rows, terms }, k) => {
      const one = Array.from({ length: sizes[rows] }, (_, i) => Array.from({ length: sizes[rows] }, (_, j) => (i === j ? ONE : ZERO)));
      const products = terms.map(([c, word]) =>
        word.reduce((product, x) => multiply(product, values.get(x)), one).map((row) => row.map((entry) => times(c, entry))));
      const total = products.reduce((a, b) => a.map((row, i) => row.map((entry, j) => plus(entry, b[i][j]))));
      need(total.flat().every(isZero), `the example breaks assumption ${k}`);
    });
  }

  function examine(data) {
    need(isObject(data), "a certificate is one JSON object");
    for (const part of Object.keys(data)) need(PARTS.includes(part), `this checker does not know the part “${part}”`);
    const alphabet = new Alphabet(data.letters);
    need(isList(data.assumptions), "the assumptions are missing");
    const assumptions = data.assumptions.map((polynomial) => alphabet.read(polynomial));
    const facts = [...assumptions];
    need(isList(data.claims) && isList(data.cofactors) && data.claims.length && data.claims.length === data.cofactors.length,
         "not one list of cofactors for each claim");
    for (const [i, lemma] of (data.lemmas ?? []).entries()) {
      const kinds = Object.keys(lemma).sort().join(" ");
      if (kinds === "cofactors equation")
        facts.push(...proveEquation(lemma.equation, lemma.cofactors, facts, alphabet, `lemma ${i + 1}`));
      else if (kinds === "cofactors squares trace")
        facts.push(...proveSquares(lemma, facts, alphabet, data.positive ?? {}, `lemma ${i + 1}`));
      else throw new Refused(`this checker does not know a lemma made of “${kinds}”`);
    }
    data.claims.forEach((claim, i) =>
      facts.push(...proveEquation(claim, data.cofactors[i], facts, alphabet, `claim ${i + 1}`)));
    if (data.witness !== undefined) checkWitness(data.witness, alphabet, data.positive ?? {}, assumptions);
  }

  /** Why a certificate is no proof, or null if it is one. */
  function refusal(data) {
    try {
      examine(data);
      return null;
    } catch (error) {
      return error instanceof Refused ? error.message : `malformed certificate: ${error.message}`;
    }
  }

  /** Forgeries of a certificate: each cofactor with the other sign, and each one left out. */
  function* forgeries(data) {
    const proofs = (copy) => [...(copy.lemmas ?? []).map((lemma) => lemma.cofactors), ...copy.cofactors];
    for (const [i, proof] of proofs(data).entries())
      for (const j of proof.keys()) {
        const turned = structuredClone(data), shortened = structuredClone(data);
        const [p, q] = negative(number(proof[j][0]));
        proofs(turned)[i][j][0] = q === 1n ? String(p) : `${p}/${q}`;
        proofs(shortened)[i].splice(j, 1);
        yield turned;
        yield shortened;
      }
  }

  /** What is wrong with this checker, judged by `certificates`: proofs refused, or forgeries accepted (`most` of each). */
  function selfTest(certificates, most = 6) {
    const wrong = [];
    for (const [name, data] of Object.entries(certificates)) {
      const reason = refusal(data);
      if (reason !== null) wrong.push(`${name} is refused: ${reason}`);
      let tried = 0;
      for (const forged of forgeries(data)) {
        if (tried++ >= most) break;
        if (refusal(forged) === null) wrong.push(`forgery ${tried} of ${name} is accepted`);
      }
    }
    return wrong;
  }

  scope.ngdCertificates = { refusal, forgeries, selfTest };
})(globalThis);
