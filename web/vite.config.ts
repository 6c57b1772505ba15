/// The bundle goes into the Python package. Names come from contents alone, so that two builds are the same bytes.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte({ configFile: false, compilerOptions: { runes: true } })],
  base: "./",
  build: {
    outDir: "../src/firesteel/server/static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // pictures stay files: no data URL where the policy need not allow one
    modulePreload: { polyfill: false },
    target: "es2022",
    reportCompressedSize: false,
    license: { fileName: "licenses.md" }, // of what is bundled, as those licences ask
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
});
