// An explanation that plays says how tall it is; its frame becomes as tall.
addEventListener("message", ({ source, data }) => {
  if (!(data && data.dftlrp > 0)) return;
  for (const frame of document.querySelectorAll("iframe[srcdoc]")) {
    if (frame.contentWindow === source) frame.style.height = `${data.dftlrp}px`;
  }
});
