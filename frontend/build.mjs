// Bundles src/ into one script and one style sheet, with the licences of what is inside and the hashes that a test
// compares: of every source, and of what was made from them. With --check it compares with the committed files.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const check = process.argv.includes("--check");

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "benchmark", "report", "view", "assets");
const sha256 = (content) => createHash("sha256").update(content).digest("hex");
const read = (name) => readFileSync(join(here, name));

function put(name, text) {
  if (!check) writeFileSync(join(out, name), text);
  else if (readFileSync(join(out, name), "utf8") !== text) throw new Error(`${name}: is not made from these sources; run make frontend`);
}

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx", live: "src/live.tsx" },
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "ascii",
  legalComments: "none",
  metafile: true,
  write: false,
  outdir: out,
});
const made = {};
for (const file of result.outputFiles) {
  const name = file.path.split(/[\\/]/).at(-1);
  // Inside the page, only these could end the element early.
  if (/<\/(script|style)|<!--/i.test(file.text)) throw new Error(`${name}: cannot stand inside a page`);
  put(name, file.text);
  made[name] = sha256(file.text);
}

const packages = [...new Set(Object.keys(result.metafile.inputs).flatMap((path) => {
  const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  return found ? [found[1]] : [];
}))].sort();
const licences = packages.map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name}: has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
const text = "The script of the pages contains these libraries.\n\n" + licences.join(`\n${"-".repeat(78)}\n\n`);
put("THIRD_PARTY_LICENCES", text);
made["THIRD_PARTY_LICENCES"] = sha256(text);

const sources = {};
for (const name of ["build.mjs", "package.json", "package-lock.json", "tsconfig.json",
  ...readdirSync(join(here, "src")).map((file) => `src/${file}`)].sort()) sources[name] = sha256(read(name));
put("bundle.json", JSON.stringify({ sources, made }, null, 2) + "\n");
for (const [name, hash] of Object.entries(made)) console.log(`${hash.slice(0, 12)}  ${name}`);
