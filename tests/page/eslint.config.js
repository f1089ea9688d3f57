import js from "@eslint/js";

const BROWSER = `
  window document atob Blob DecompressionStream Response matchMedia getComputedStyle
  requestAnimationFrame cancelAnimationFrame ResizeObserver IntersectionObserver CSS location performance
  HTMLAnchorElement Event EventTarget HTMLElement HTMLInputElement
  HTMLSelectElement AudioBuffer AudioBufferSourceNode AudioContext GainNode OfflineAudioContext`;

export default [
  js.configs.recommended,
  {
    files: ["page/**/*.js"],
    languageOptions: {
      globals: Object.fromEntries(BROWSER.split(/\s+/).filter(Boolean).map((n) => [n, "readonly"])),
    },
    rules: {
      eqeqeq: "error",
      "no-alert": "error",
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "write text, never markup" },
        { property: "outerHTML", message: "write text, never markup" },
        { property: "insertAdjacentHTML", message: "write text, never markup" },
      ],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
