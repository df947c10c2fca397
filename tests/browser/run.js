// The console in a real browser, part by part: node run.js BINARY [PART] [--pictures FOLDER]
'use strict';

const { launch, running } = require('./harness');

const PARTS = ['ask', 'rows', 'live', 'catalog', 'jobs', 'load', 'kept', 'page', 'tour'];

async function main() {
  const args = process.argv.slice(2);
  const at = args.indexOf('--pictures');
  const pictures = at < 0 ? null : args.splice(at, 2)[1];
  const [binary, only] = args;
  const browser = await launch();
  try {
    for (const name of PARTS) {
      if (only && only !== name) continue;
      const tests = require(`./${name}`);
      for (const [what, test] of Object.entries(tests)) {
        const begun = Date.now();
        try {
          await test({ browser, binary, pictures });
        } catch (error) {
          error.message = `${name}: ${what}: ${error.message}`;
          throw error;
        }
        console.log(`${name}: ${what} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
      }
    }
  } finally {
    await browser.close();
  }
  console.log('ok');
}

// What a failed part has left running ends with this process.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
