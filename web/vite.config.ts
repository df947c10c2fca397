import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';

import zopfli from '@gfx/zopfli';
import { preact } from '@preact/preset-vite';
import { defineConfig, type Plugin } from 'vite';

const server = process.env['WEIR_URL'] ?? 'http://127.0.0.1:8080';
/** What is smaller is sent as it is. */
const COMPRESSED_MIN = 1024;

/** Begins to fetch what the first page soon needs together with the page, and not when the script that asks for it has run. */
function early(chunk: string): Plugin {
  return {
    name: 'weir-early',
    transformIndexHtml: {
      order: 'post',
      handler(_, { bundle }) {
        const files = Object.values(bundle ?? {}).filter((file) => file.type === 'chunk' && file.name === chunk);
        return files.map(({ fileName }) => ({ tag: 'link', attrs: { rel: 'modulepreload', crossorigin: true, href: `./${fileName}` }, injectTo: 'head' as const }));
      },
    },
  };
}

type Codings = Readonly<Record<string, (content: Buffer) => Promise<Uint8Array>>>;

/** What browsers take, by the ending that a file in it has: brotli on their own machine and over TLS, and from elsewhere gzip. */
const CODINGS: Codings = {
  br: (content) => {
    const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
    return promisify(brotliCompress)(content, { params });
  },
  // Shorter by 4 % than what zlib makes of it.
  gz: (content) => zopfli.gzipAsync(content, {}),
};

/** Beside each script and sheet lies what it is when compressed, which no server could do so well while somebody waits. */
function compressed(): Plugin {
  return {
    name: 'weir-compressed',
    apply: 'build',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      async handler(_, bundle) {
        for (const file of Object.values(bundle)) {
          const content = Buffer.from(file.type === 'chunk' ? file.code : file.source);
          if (!file.fileName.startsWith('assets/') || content.length < COMPRESSED_MIN) continue;
          for (const [ending, compress] of Object.entries(CODINGS)) {
            this.emitFile({ type: 'asset', fileName: `${file.fileName}.${ending}`, source: await compress(content) });
          }
        }
      },
    },
  };
}

// The build must come out the same wherever it is made: it is committed, and a test compares it.
export default defineConfig({
  base: './',
  plugins: [preact({ prefreshEnabled: true, reactAliasesEnabled: false }), early('editor'), compressed()],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    minify: 'terser',
    terserOptions: { module: true, compress: { passes: 2 } },
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      output: {
        manualChunks(id) {
          if (/@codemirror|@lezer|style-mod|w3c-keyname|crelt|find-cluster-break|src\/editor\/(editor|language)/.test(id)) return 'editor';
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
