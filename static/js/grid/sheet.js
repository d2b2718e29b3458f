// A table with pictures as one picture, with the heads of its columns and rows.
export const SIDE = 256; // pixels of a picture
const [GAP, FONT] = [8, 18];

// The PNG; `pictures(cell)` are the addresses of those in a cell, of which the first is taken.
export async function sheet(table, pictures) {
  const [head, ...rows] = [...table.rows].map((row) => [...row.cells]);
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const font = `${FONT}px system-ui, sans-serif`;
  context.font = font;
  const named = rows.some(([name]) => name.textContent.trim() || name.querySelector("img"));
  const beside = named ? Math.min(SIDE, Math.max(...rows.map(([name]) => (name.querySelector("img") ? SIDE / 2 : context.measureText(name.textContent.trim()).width)))) + 2 * GAP : GAP;
  const above = (head.slice(1).some((name) => name.querySelector("img")) ? SIDE / 2 : FONT) + 2 * GAP;
  canvas.width = beside + (head.length - 1) * (SIDE + GAP);
  canvas.height = above + rows.length * (SIDE + GAP);
  Object.assign(context, { fillStyle: "#fff" });
  context.fillRect(0, 0, canvas.width, canvas.height);
  Object.assign(context, { font, fillStyle: "#23211e", textAlign: "center", textBaseline: "middle", imageSmoothingQuality: "high" });
  const place = async (address, x, y, width, height) => {
    const image = await loaded(address);
    if (!image) return;
    const scale = Math.min(width / image.width, height / image.height);
    const [w, h] = [image.width * scale, image.height * scale];
    context.drawImage(image, x + (width - w) / 2, y + (height - h) / 2, w, h);
  };
  const title = (cell, x, y, width, height) => {
    const image = cell.querySelector("img");
    if (image) return place(image.src, x, y, width, height);
    context.fillText(cell.textContent.trim(), x + width / 2, y + height / 2, width);
  };
  for (const [i, cell] of head.slice(1).entries()) await title(cell, beside + i * (SIDE + GAP), GAP, SIDE, above - 2 * GAP);
  for (const [j, [name, ...cells]] of rows.entries()) {
    const top = above + j * (SIDE + GAP);
    if (named) await title(name, GAP, top, beside - 2 * GAP, SIDE);
    for (const [i, cell] of cells.entries()) await place(pictures(cell)[0], beside + i * (SIDE + GAP), top, SIDE, SIDE);
  }
  return new Promise((resolve) => canvas.toBlob(resolve));
}

async function loaded(address) {
  if (!address) return null;
  const image = new Image();
  image.src = address;
  return image.decode().then(
    () => image,
    () => null,
  );
}
