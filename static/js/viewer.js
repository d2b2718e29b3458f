// Works over the whole window: zoom, swipe and keys (PhotoSwipe), favourite, trash with undo, two beside one another.
//
// `view(reel, id)` takes the works around one: `items` (see `slide`), `before()` and `after()`, which promise those that
// come next in either direction, `changed(id, {trashed, favourite})`, by which the page keeps up, and `closed(item)`.
import { base } from "./base.js";
import { call } from "./api.js";
import { say } from "./notice.js";

const NEAR_END = 3;
const PIXEL_ART = 32; // no larger, and it is looked at by its pixels
const ICONS = {
  favourite: '<svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 6l3 7 7 .6-5.4 4.8 1.7 7.1L16 21.7 9.7 25.5l1.7-7.1L6 13.6l7-.6z"/></svg>',
  compare: '<svg viewBox="0 0 32 32" aria-hidden="true"><path d="M6 8h8v16H6zM18 8h8v16h-8z"/></svg>',
  trash: '<svg viewBox="0 0 32 32" aria-hidden="true"><path d="M8 10h16M13 10V7h6v3M10 10l1 15h10l1-15M14 14v7M18 14v7"/></svg>',
};

// What the viewer shows of a work: its picture, a poster of it, or its first lines.
export function slide({ id, medium, width, height, excerpt, ...rest }) {
  const isPicture = medium === "pictures";
  const shown = { id, width: Number(width) || 1024, height: Number(height) || 1024, ...rest };
  if (excerpt) {
    const lines = document.createElement("pre");
    lines.className = "viewer-lines";
    lines.textContent = excerpt;
    return { ...shown, html: lines.outerHTML };
  }
  return { ...shown, src: `${base}/api/v1/artworks/${id}/${isPicture ? "file" : "preview?size=1024"}` };
}

const fitted = ({ panAreaSize: area, elementSize: size }) => Math.min(area.x / size.x, area.y / size.y);
const beside = () => (innerWidth >= innerHeight ? { x: 0.5, y: 1 } : { x: 1, y: 0.5 });

export async function view(reel, id, comparing = false) {
  const { default: PhotoSwipe } = await import("../vendor/photoswipe.esm.min.js");
  const words = document.getElementById("viewer").dataset;
  const items = [...reel.items];
  let pinned = null;
  const pswp = new PhotoSwipe({
    dataSource: items,
    index: comparing ? 1 : Math.max(0, items.findIndex((item) => item.id === id)),
    loop: false,
    bgOpacity: 1,
    wheelToZoom: true,
    padding: { top: 52, bottom: 44, left: 0, right: 0 }, // buttons, caption
    initialZoomLevel: fitted,
    secondaryZoomLevel: (zoom) => 2 * fitted(zoom),
    maxZoomLevel: (zoom) => 8 * Math.max(1, fitted(zoom)),
    showHideAnimationType: "none", // keys are heard from the first moment
    closeTitle: words.close,
    zoomTitle: words.zoom,
    arrowPrevTitle: words.previous,
    arrowNextTitle: words.next,
    errorMsg: words.error,
    getViewportSizeFn: () => {
      const share = pinned ? beside() : { x: 1, y: 1 };
      return { x: document.documentElement.clientWidth * share.x, y: innerHeight * share.y };
    },
  });
  const current = () => items[pswp.currIndex];

  // --- buttons and words ----------------------------------------------------------------------------------------------

  function button(name, order, onClick, shown) {
    const onInit = (element) => {
      const update = () => shown(element, current());
      element.ariaLabel = words[name];
      pswp.on("change", update);
      pswp.on("work", update);
    };
    pswp.ui.registerElement({ name, order, isButton: true, title: words[name], html: ICONS[name], onClick, onInit });
  }
  pswp.on("uiRegister", () => {
    button("favourite", 7, favour, (element, item) => {
      element.hidden = !item.own;
      element.ariaPressed = String(item.favourite);
    });
    button("compare", 8, () => pin(pinned ? null : current()), (element) => {
      element.hidden = items.length < 2;
      element.ariaPressed = String(pinned !== null);
    });
    button("trash", 9, trash, (element, item) => (element.hidden = !item.own || words.trashed === undefined));
    const caption = (element) => {
      const link = element.appendChild(document.createElement("a"));
      pswp.on("change", () => Object.assign(link, { textContent: current().alt, href: current().href }));
    };
    pswp.ui.registerElement({ name: "caption", order: 10, appendTo: "root", onInit: caption });
  });
  pswp.on("contentAppendImage", ({ content }) => content.element.classList.toggle("pixels", content.data.width <= PIXEL_ART));
  pswp.on("keydown", (event) => {
    const { key, ctrlKey, metaKey, altKey } = event.originalEvent;
    const action = { f: favour, c: () => pin(pinned ? null : current()), Delete: trash }[key];
    if (!action || ctrlKey || metaKey || altKey) return;
    event.preventDefault();
    action();
  });

  // --- what is done to the work ---------------------------------------------------------------------------------------

  async function favour() {
    const item = current();
    if (!item.own) return;
    await tried(async () => {
      await call("PATCH", `/artworks/${item.id}`, { favourite: !item.favourite });
      item.favourite = !item.favourite;
      reel.changed(item.id, { favourite: item.favourite });
      pswp.dispatch("work");
    });
  }

  async function trash() {
    const [item, index] = [current(), pswp.currIndex];
    if (!item.own || words.trashed === undefined) return;
    await tried(async () => {
      await call("DELETE", `/artworks/${item.id}`);
      reel.changed(item.id, { trashed: true });
      items.splice(index, 1);
      refresh(index);
      say(words.trashed, async () => {
        await call("POST", `/artworks/${item.id}/restoration`);
        reel.changed(item.id, { trashed: false });
        items.splice(index, 0, item);
        refresh(index);
      });
    });
  }

  const tried = (work) => work().catch((error) => say(error.message));

  // The works from an index on are others now.
  function refresh(index) {
    if (pswp.isDestroying) return;
    if (!items.length) return pswp.close();
    const at = Math.min(index, items.length - 1);
    if (at !== pswp.currIndex) pswp.goTo(at);
    for (const each of [at - 1, at, at + 1]) pswp.refreshSlideContent(each);
    pswp.dispatch("change");
  }

  // --- more of them ---------------------------------------------------------------------------------------------------

  let fetching = false;
  let around = null; // PhotoSwipe takes no works before its first one: it is opened anew with all of them
  async function extend() {
    if (fetching || pswp.isDestroying) return;
    fetching = true;
    if (pswp.currIndex >= items.length - NEAR_END) {
      const more = await reel.after();
      items.push(...more);
      if (more.length && !pswp.isDestroying) refresh(pswp.currIndex);
    }
    if (pswp.currIndex === 0) {
      const more = await reel.before();
      if (more.length && !pswp.isDestroying) {
        around = [...more, ...items];
        pswp.close();
      }
    }
    fetching = false;
  }
  pswp.on("change", () => tried(extend));
  pswp.on("destroy", () => {
    aside.remove();
    if (around) view({ ...reel, items: around }, current().id, false);
    else reel.closed?.(current());
  });

  // --- two beside one another -----------------------------------------------------------------------------------------

  const aside = document.createElement("figure");
  aside.className = "viewer-pinned";
  const picture = aside.appendChild(document.createElement("img"));
  const caption = aside.appendChild(document.createElement("figcaption"));

  function pin(item) {
    pinned = item?.src ? item : null;
    pswp.element.classList.toggle("beside", pinned !== null);
    aside.remove();
    if (pinned) {
      Object.assign(picture, { src: pinned.src, alt: pinned.alt });
      caption.textContent = pinned.alt;
      picture.classList.toggle("pixels", pinned.width <= PIXEL_ART);
      document.body.append(aside);
    }
    pswp.updateSize(true);
    pswp.dispatch("work");
  }

  // The same part of both, by shares of their sides.
  pswp.on("zoomPanUpdate", ({ slide: { pan, currZoomLevel, zoomLevels, width, height } }) => {
    if (!pinned) return;
    const area = pswp.viewportSize;
    const shown = { panAreaSize: zoomLevels.panAreaSize, elementSize: { x: pinned.width, y: pinned.height } };
    const scale = (currZoomLevel / zoomLevels.initial) * fitted(shown);
    const left = area.x / 2 - ((area.x / 2 - pan.x) / (width * currZoomLevel)) * pinned.width * scale;
    const top = area.y / 2 - ((area.y / 2 - pan.y) / (height * currZoomLevel)) * pinned.height * scale;
    Object.assign(picture.style, { width: `${pinned.width}px`, height: `${pinned.height}px`, transform: `translate(${left}px, ${top}px) scale(${scale})` });
  });

  if (comparing) pswp.on("firstUpdate", () => pin(items[0]));
  pswp.init();
}
