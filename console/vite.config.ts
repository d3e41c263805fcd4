import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// The API that the development server talks to: the mock of `npm run mock` or a running platform.
const api = process.env.LINESHAFT_API ?? "http://127.0.0.1:8401";

export default defineConfig({
  plugins: [svelte()],
  base: "./",
  build: {
    outDir: process.env.LINESHAFT_CONSOLE_OUT ?? "../src/lineshaft/web/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
  server: { proxy: { "/api": { target: api, changeOrigin: true } } },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
