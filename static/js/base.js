// Under which path the studio is; "" where it has a host of its own.
export const base = document.documentElement.dataset.base ?? "";
