// Lint: the rules for the page's modules: faults, and the ways by which a text could become markup or code.
const names = Object.fromEntries(
  ("AbortController Blob ArrayBuffer Event File FormData Headers HTMLElement HTMLInputElement HTMLTextAreaElement Element Node IntersectionObserver " +
    "KeyboardEvent MouseEvent MutationObserver Notification ResizeObserver TextDecoder TextEncoder URL URLSearchParams WebSocket addEventListener " +
    "cancelAnimationFrame clearTimeout clearInterval console crypto document fetch getComputedStyle getSelection history localStorage location matchMedia navigator " +
    "performance queueMicrotask requestAnimationFrame sessionStorage setTimeout setInterval structuredClone window")
    .split(" ").map((name) => [name, "readonly"]),
);
const markup = "A text must not become markup: a template of lit-html makes it a text node.";

export default [{
  files: ["**/*.js"],
  languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: names },
  linterOptions: { reportUnusedDisableDirectives: "error", noInlineConfig: true },
  rules: {
    "array-callback-return": "error", "consistent-return": "off", "constructor-super": "error", "for-direction": "error",
    "getter-return": "error", "no-async-promise-executor": "error", "no-case-declarations": "error", "no-class-assign": "error",
    "no-cond-assign": "error", "no-const-assign": "error", "no-constant-condition": "error", "no-control-regex": "off",
    "no-debugger": "error", "no-delete-var": "error", "no-dupe-args": "error", "no-dupe-else-if": "error", "no-dupe-keys": "error",
    "no-duplicate-case": "error", "no-duplicate-imports": "error", "no-else-return": "error", "no-empty": "error",
    "no-eval": "error", "no-ex-assign": "error", "no-fallthrough": "error", "no-func-assign": "error", "no-global-assign": "error",
    "no-implied-eval": "error", "no-import-assign": "error", "no-invalid-regexp": "error", "no-irregular-whitespace": "error",
    "no-loss-of-precision": "error", "no-new-func": "error", "no-prototype-builtins": "error", "no-redeclare": "error",
    "no-script-url": "error", "no-self-assign": "error", "no-self-compare": "error", "no-shadow": ["error", { allow: ["state"] }],
    "no-sparse-arrays": "error", "no-throw-literal": "error", "no-undef": "error", "no-unmodified-loop-condition": "error",
    "no-unreachable": "error", "no-unsafe-finally": "error", "no-unsafe-negation": "error", "no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
    "no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }], "no-useless-catch": "error", "no-useless-return": "error",
    "no-var": "error", "prefer-const": "error", "use-isnan": "error", "valid-typeof": "error", eqeqeq: "error", "max-lines": ["error", 350],
    "no-restricted-properties": ["error",
      ...["innerHTML", "outerHTML", "insertAdjacentHTML", "write", "writeln", "createContextualFragment", "srcdoc", "setHTMLUnsafe"]
        .map((property) => ({ property, message: markup })),
    ],
    "no-restricted-imports": ["error", { patterns: [{ group: ["*unsafe*", "*static*", "http:*", "https:*"], message: markup }] }],
  },
}];
