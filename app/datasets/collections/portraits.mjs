// Draws portraits of a DiceBear style: one line of JSON each, `{svg, extra}`.
// Arguments: package of the style, number, options. Runs in a folder whose node_modules has the packages.
import { createAvatar } from "@dicebear/core";

const [name, count, options] = process.argv.slice(2);
const style = await import(name);
for (let i = 1; i <= Number(count); i++) {
  const seed = String((i * 2654435761) % 2 ** 32); // neighbours that differ in one digit would look alike
  const line = `${JSON.stringify(createAvatar(style, { seed, ...JSON.parse(options) }).toJson())}\n`;
  if (!process.stdout.write(line)) await new Promise((resolve) => process.stdout.once("drain", resolve));
}
