import { preact } from '@preact/preset-vite';
import { defineConfig } from 'vite';

const server = process.env['WEIR_URL'] ?? 'http://127.0.0.1:8080';

// The build must come out the same wherever it is made: it is committed, and a test compares it.
export default defineConfig({
  base: './',
  plugins: [preact({ prefreshEnabled: true, reactAliasesEnabled: false })],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      output: {
        manualChunks(id) {
          if (/@codemirror|@lezer|style-mod|w3c-keyname|crelt/.test(id)) return 'editor';
          if (/apache-arrow|flatbuffers/.test(id)) return 'arrow';
          return undefined;
        },
      },
    },
  },
  server: {
    proxy: Object.fromEntries(
      ['/v1', '/openapi.json', '/metrics', '/readyz'].map((path) => [
        path,
        // The server takes requests of its own pages only.
        { target: server, ws: true, changeOrigin: true, headers: { Origin: server } },
      ]),
    ),
  },
});
